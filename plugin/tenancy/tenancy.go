package tenancy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/internal/reload"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// DefaultHeader is what Jaeger names a tenant in where it is not told otherwise.
const DefaultHeader = "x-tenant"

// Options of Tenants.
type Options struct {
	// Enabled says that calls name their tenant. Else all are about Default, whatever they bring with them.
	Enabled bool
	// Header is the metadata that names the tenant, in lower case; DefaultHeader if empty.
	Header string
	// Default is the tenant of calls that name none. If it is empty, or not among Allowed, such calls are refused.
	Default string
	// Allowed are the tenants that there are; empty is any.
	Allowed []string
	// TokensFile is a file of tokens; empty: calls need none.
	TokensFile string
	// ReadsOnly says that calls which write need no token. One that they bring must be right all the same.
	ReadsOnly bool
	// ReloadEvery is how often is looked whether TokensFile has changed; reload.Every if zero.
	ReloadEvery time.Duration
	// Logger is told of changes of TokensFile; nil is silence.
	Logger *slog.Logger
}

// Tenants tells whose data calls are about.
type Tenants struct {
	o      Options
	tokens atomic.Pointer[tokens] // nil if there is no file of them
	now    func() time.Time
	stop   func()
}

// New checks the options, and reads TokensFile, which it follows until Close: a file that is wrong is an error now, and later leaves the tokens as they were.
func New(o Options) (*Tenants, error) {
	if o.Header == "" {
		o.Header = DefaultHeader
	}
	if o.ReloadEvery == 0 {
		o.ReloadEvery = reload.Every
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tenants{o: o, now: time.Now, stop: func() {}}
	if !o.Enabled {
		if o.Default == "" {
			return nil, errors.New("tenancy.default: is empty: without tenancy.enabled all calls are about it")
		}
		return t, nil
	}
	for _, name := range o.Allowed {
		if err := tracedb.CheckName(name); err != nil {
			return nil, fmt.Errorf("tenancy.allowed: %w", err)
		}
	}
	if o.Default != "" {
		if err := tracedb.CheckName(o.Default); err != nil {
			return nil, fmt.Errorf("tenancy.default: %w", err)
		}
		if !t.allowed(o.Default) {
			t.o.Default = ""
		}
	}
	if o.TokensFile == "" {
		return t, nil
	}
	file := reload.New(o.TokensFile, func(path string) error {
		found, err := readTokens(path, o.Allowed)
		if err != nil {
			return fmt.Errorf("tenancy.tokens_file: %w", err)
		}
		t.tokens.Store(&found)
		return nil
	})
	if _, err := file.Look(); err != nil {
		return nil, err
	}
	t.stop = file.Follow(o.ReloadEvery, func(err error) {
		if err != nil {
			o.Logger.Error("tokens stay as they were: the file can't be used", "error", err)
			return
		}
		o.Logger.Info("tokens were read again", "file", o.TokensFile, "tokens", len(*t.tokens.Load()))
	})
	return t, nil
}

// Close ends what New has begun.
func (t *Tenants) Close() { t.stop() }

// Of returns the tenant of a call that is being served in ctx. The error is a gRPC status.
func (t *Tenants) Of(ctx context.Context) (string, error) {
	if !t.o.Enabled {
		return t.o.Default, nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	may, err := t.access(ctx, md)
	if err != nil {
		return "", err
	}
	named, err := t.named(md)
	if err != nil {
		return "", err
	}
	switch {
	case named != "":
		if !may.to(named) {
			return "", status.Errorf(codes.PermissionDenied, "the token gives no access to tenant %q", named)
		}
		if !t.allowed(named) {
			return "", status.Errorf(codes.PermissionDenied, "there is no tenant %q: the store is set up for others", named)
		}
		return named, nil
	case len(may.tenants) == 1:
		return may.tenants[0], nil
	case t.o.Default != "" && may.to(t.o.Default):
		return t.o.Default, nil
	}
	return "", status.Errorf(codes.InvalidArgument, "the call names no tenant: send one in the metadata %s", t.o.Header)
}

func (t *Tenants) allowed(tenant string) bool {
	return len(t.o.Allowed) == 0 || slices.Contains(t.o.Allowed, tenant)
}

// named returns the tenant that a call names, or "".
func (t *Tenants) named(md metadata.MD) (string, error) {
	named, err := one(md.Get(t.o.Header))
	if err != nil {
		return "", status.Errorf(codes.InvalidArgument, "the metadata %s names several tenants: a call is about one", t.o.Header)
	}
	if len(md.Get(t.o.Header)) == 0 {
		return "", nil
	}
	if err := tracedb.CheckName(named); err != nil {
		return "", status.Errorf(codes.InvalidArgument, "the metadata %s: %v", t.o.Header, err)
	}
	return named, nil
}

// everything is what a call may that needs no token.
var everything = &access{all: true}

// access returns what the token of a call gives.
func (t *Tenants) access(ctx context.Context, md metadata.MD) (*access, error) {
	known := t.tokens.Load()
	if known == nil {
		return everything, nil
	}
	token, err := tokenOf(md)
	switch {
	case err != nil:
		return nil, err
	case token == "" && t.o.ReadsOnly && writes(ctx):
		return everything, nil
	case token == "":
		return nil, status.Error(codes.Unauthenticated, "the call has no token: send one in the metadata authorization, as Bearer TOKEN, or in bearer.token")
	}
	if may := known.find(token, t.now()); may != nil {
		return may, nil
	}
	return nil, status.Error(codes.Unauthenticated, "the token is unknown or has expired")
}

// tokenOf returns the token of a call, or "". Jaeger sends that of its user in bearer.token.
func tokenOf(md metadata.MD) (string, error) {
	found := slices.Clone(md.Get("bearer.token"))
	for _, v := range md.Get("authorization") {
		scheme, token, _ := strings.Cut(v, " ")
		if !strings.EqualFold(scheme, "bearer") {
			return "", status.Error(codes.Unauthenticated, "the metadata authorization is not Bearer TOKEN")
		}
		found = append(found, strings.TrimSpace(token))
	}
	token, err := one(found)
	switch {
	case err != nil:
		return "", status.Error(codes.Unauthenticated, "the call has several tokens: send one")
	case token == "" && len(found) > 0:
		return "", status.Error(codes.Unauthenticated, "the token is empty")
	}
	return token, nil
}

// one returns what all values are; an error if they are not the same.
func one(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return "", errors.New("values differ")
		}
	}
	return values[0], nil
}

// writes reports whether the call being served in ctx is one of those that write, as far as this package knows.
func writes(ctx context.Context) bool {
	method, _ := grpc.Method(ctx)
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch service {
	case "jaeger.storage.v1.SpanWriterPlugin", "jaeger.storage.v1.ArchiveSpanWriterPlugin", "jaeger.storage.v1.StreamingSpanWriterPlugin",
		"opentelemetry.proto.collector.trace.v1.TraceService":
		return true
	}
	return false
}
