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

// Asker is a request that can say who made it. It is asked when there is something to
// record, which for most requests is never.
type Asker interface{ Origin() Origin }

// WithAsker returns a context whose records name who a says at that moment.
func WithAsker(ctx context.Context, a Asker) context.Context {
	return context.WithValue(ctx, originKey{}, a)
}

// By returns who asks; the server itself when nobody was named.
func By(ctx context.Context) Origin {
	switch by := ctx.Value(originKey{}).(type) {
	case Origin:
		return by
	case Asker:
		return by.Origin()
	}
	return Origin{Actor: "server"}
}
