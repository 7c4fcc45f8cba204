package audit

import "context"

// Outcomes that are not the name of a fault.
const (
	Begin = "begin" // durable before the act
	OK    = "ok"
	// Interrupted ends an act that was begun and cut off by a crash: the key store says
	// whether it was done.
	Interrupted = "interrupted"
)

// Origin says who asks, for records made deep inside.
type Origin struct{ Actor, RequestID string }

type originKey struct{}

// WithBy returns a context whose records name o.
func WithBy(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// By returns who asks; the server itself when nobody was named.
func By(ctx context.Context) Origin {
	if o, ok := ctx.Value(originKey{}).(Origin); ok {
		return o
	}
	return Origin{Actor: "server"}
}
