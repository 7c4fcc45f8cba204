# The report lines of the interop suite for shell programs; the format is
# described in report/report.go. Source this file, call step for each step and
# report_done at the end.

steps=0
failed=0

# step NAME FUNCTION: runs the function in a subshell that stops at the first
# failing command; its output becomes the detail of a failed step.
step() {
	# Names of their own: what the function calls sees the locals of this one.
	local step_name=$1 step_function=$2 start end out result=pass detail=
	start=$(date +%s%N)
	# The subshell must not be the condition of an if or of ||: there set -e is off.
	out=$(set -e; "$step_function" 2>&1)
	if [ $? -ne 0 ]; then
		result=fail
		failed=$((failed + 1))
		detail=$(printf '%s' "$out" | tail -n 6 | tr '\t\n' '  ' | cut -c 1-500)
	fi
	end=$(date +%s%N)
	steps=$((steps + 1))
	printf 'step\t%s\t%s\t%s\t%s\n' "$step_name" "$result" $(((end - start) / 1000000)) "$detail"
}

report_done() {
	printf 'done\t%s\n' "$steps"
	[ "$failed" -eq 0 ] && [ "$steps" -gt 0 ]
}

# expect WHAT GOT WANT
expect() {
	[ "$2" = "$3" ] || { echo "$1: got '$2', want '$3'"; return 1; }
}

# noise BYTES FILE: incompressible, different in every file.
noise() { head -c "$1" /dev/urandom >"$2"; }

# absent TEXT FILE: no line of the file holds the text.
absent() {
	if grep -F -- "$1" "$2"; then
		echo "is still there"
		return 1
	fi
}
