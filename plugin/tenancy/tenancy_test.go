package tenancy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	tokenA   = "of-acme-aaaaaaaaaaaa"
	tokenAB  = "of-both-bbbbbbbbbbbb"
	tokenAll = "of-all-cccccccccccc"
	tokenOld = "expired-ddddddddddd"
	read     = "/jaeger.storage.v1.SpanReaderPlugin/GetTrace"
)

// method is a stream of a server, as grpc.Method looks for it.
type method string

func (m method) Method() string                { return string(m) }
func (method) SetHeader(metadata.MD) error     { return nil }
func (method) SendHeader(metadata.MD) error    { return nil }
func (method) SetTrailer(md metadata.MD) error { return nil }

func callOf(name string, md metadata.MD) context.Context {
	return metadata.NewIncomingContext(grpc.NewContextWithServerTransportStream(context.Background(), method(name)), md)
}

func open(t *testing.T, o Options) *Tenants {
	t.Helper()
	tenants, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tenants.Close)
	return tenants
}

func tokensFile(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(tokenAB))
	return fileOf(t, "# tokens\n\n"+tokenA+" acme\nsha256:"+hex.EncodeToString(sum[:])+"\tacme,globex 2999-01-01T00:00:00Z\n"+
		tokenAll+" *\n"+tokenOld+" acme 2020-01-01T00:00:00+01:00")
}

func fileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhoseDataACallIsAbout(t *testing.T) {
	pairs := metadata.Pairs
	plain := Options{Enabled: true, Default: "def"}
	listed := Options{Enabled: true, Default: "single-tenant", Allowed: []string{"acme", "globex"}}
	tokens := Options{Enabled: true, Default: "def", TokensFile: tokensFile(t)}
	both := Options{Enabled: true, Allowed: []string{"acme", "globex", "def"}, Default: "def", TokensFile: tokensFile(t)}
	required := Options{Enabled: true, TokensFile: tokensFile(t)}
	readsOnly := Options{Enabled: true, Default: "def", TokensFile: tokensFile(t), ReadsOnly: true}
	const write = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan"
	for _, c := range []struct {
		name   string
		o      Options
		method string
		md     metadata.MD
		want   string // tenant
		code   codes.Code
	}{
		{"not enabled", Options{Default: "def"}, read, pairs("x-tenant", "acme"), "def", 0},
		{"not enabled, with nonsense", Options{Default: "def"}, read, pairs("x-tenant", "../x", "authorization", "x"), "def", 0},
		{"named", plain, read, pairs("x-tenant", "acme"), "acme", 0},
		{"named in capitals", plain, read, pairs("X-Tenant", "Acme"), "Acme", 0},
		{"named twice", plain, read, pairs("x-tenant", "acme", "x-tenant", "acme"), "acme", 0},
		{"two named", plain, read, pairs("x-tenant", "acme", "x-tenant", "globex"), "", codes.InvalidArgument},
		{"two named, one empty", plain, read, pairs("x-tenant", "acme", "x-tenant", ""), "", codes.InvalidArgument},
		{"none named", plain, read, nil, "def", 0},
		{"empty", plain, read, pairs("x-tenant", ""), "", codes.InvalidArgument},
		{"climbs", plain, read, pairs("x-tenant", "../acme"), "", codes.InvalidArgument},
		{"archive", plain, read, pairs("x-tenant", "acme~archive"), "", codes.InvalidArgument},
		{"bad blocks", plain, read, pairs("x-tenant", "quarantine"), "", codes.InvalidArgument},
		{"a list", plain, read, pairs("x-tenant", "acme,globex"), "", codes.InvalidArgument},
		{"long", plain, read, pairs("x-tenant", strings.Repeat("a", 100_000)), "", codes.InvalidArgument},
		{"other header", Options{Enabled: true, Default: "def", Header: "x-scope"}, read, pairs("x-scope", "acme", "x-tenant", "globex"), "acme", 0},
		{"a token that nobody asked for", plain, read, pairs("x-tenant", "acme", "authorization", "Basic x", "bearer.token", "y"), "acme", 0},

		{"listed", listed, read, pairs("x-tenant", "globex"), "globex", 0},
		{"listed in other letters", listed, read, pairs("x-tenant", "Globex"), "", codes.PermissionDenied},
		{"not listed", listed, read, pairs("x-tenant", "other"), "", codes.PermissionDenied},
		{"none named, default not listed", listed, read, nil, "", codes.InvalidArgument},
		{"default not listed, named", listed, read, pairs("x-tenant", "single-tenant"), "", codes.PermissionDenied},

		{"no token", tokens, read, pairs("x-tenant", "acme"), "", codes.Unauthenticated},
		{"wrong token", tokens, read, pairs("x-tenant", "acme", "bearer.token", tokenA+"x"), "", codes.Unauthenticated},
		{"expired token", tokens, read, pairs("x-tenant", "acme", "bearer.token", tokenOld), "", codes.Unauthenticated},
		{"the hash for a token", tokens, read, pairs("bearer.token", "sha256:"+fmt.Sprintf("%x", sha256.Sum256([]byte(tokenAB)))), "", codes.Unauthenticated},
		{"empty token", tokens, read, pairs("bearer.token", ""), "", codes.Unauthenticated},
		{"empty authorization", tokens, read, pairs("authorization", ""), "", codes.Unauthenticated},
		{"authorization without a token", tokens, read, pairs("authorization", "Bearer "), "", codes.Unauthenticated},
		{"authorization of another kind", tokens, read, pairs("authorization", "Basic "+tokenA, "bearer.token", tokenA), "", codes.Unauthenticated},
		{"authorization without a kind", tokens, read, pairs("authorization", tokenA), "", codes.Unauthenticated},
		{"token with a kind in bearer.token", tokens, read, pairs("bearer.token", "Bearer "+tokenA), "", codes.Unauthenticated},
		{"two tokens", tokens, read, pairs("authorization", "Bearer "+tokenA, "bearer.token", tokenAB), "", codes.Unauthenticated},
		{"a right token and a wrong one", tokens, read, pairs("authorization", "Bearer "+tokenA, "authorization", "Bearer x"), "", codes.Unauthenticated},
		{"the same token twice", tokens, read, pairs("authorization", "Bearer "+tokenA, "bearer.token", tokenA, "x-tenant", "acme"), "acme", 0},
		{"authorization", tokens, read, pairs("authorization", "bearer  "+tokenA+" "), "acme", 0},
		{"token of one tenant", tokens, read, pairs("bearer.token", tokenA), "acme", 0},
		{"token of another tenant", tokens, read, pairs("bearer.token", tokenA, "x-tenant", "globex"), "", codes.PermissionDenied},
		{"token of another tenant, the default", tokens, read, pairs("bearer.token", tokenA, "x-tenant", "def"), "", codes.PermissionDenied},
		{"token of several", tokens, read, pairs("bearer.token", tokenAB, "x-tenant", "globex"), "globex", 0},
		{"token of several, none named", tokens, read, pairs("bearer.token", tokenAB), "", codes.InvalidArgument},
		{"token of all", tokens, read, pairs("bearer.token", tokenAll, "x-tenant", "anyone"), "anyone", 0},
		{"token of all, none named", tokens, read, pairs("bearer.token", tokenAll), "def", 0},
		{"token of all, archive", tokens, read, pairs("bearer.token", tokenAll, "x-tenant", "acme~archive"), "", codes.InvalidArgument},
		{"token of all, not listed", both, read, pairs("bearer.token", tokenAll, "x-tenant", "anyone"), "", codes.PermissionDenied},
		{"token of all, listed", both, read, pairs("bearer.token", tokenAll, "x-tenant", "globex"), "globex", 0},
		{"token of all, no default", required, read, pairs("bearer.token", tokenAll), "", codes.InvalidArgument},
		{"no token for a write", tokens, write, pairs("x-tenant", "acme"), "", codes.Unauthenticated},

		{"reads only: write", readsOnly, write, pairs("x-tenant", "acme"), "acme", 0},
		{"reads only: archive", readsOnly, "/jaeger.storage.v1.ArchiveSpanWriterPlugin/WriteArchiveSpan", pairs("x-tenant", "acme"), "acme", 0},
		{"reads only: OTLP", readsOnly, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", nil, "def", 0},
		{"reads only: wrong token for a write", readsOnly, write, pairs("x-tenant", "acme", "bearer.token", "wrong"), "", codes.Unauthenticated},
		{"reads only: other token for a write", readsOnly, write, pairs("x-tenant", "globex", "bearer.token", tokenA), "", codes.PermissionDenied},
		{"reads only: read", readsOnly, read, pairs("x-tenant", "acme"), "", codes.Unauthenticated},
		{"reads only: something like a write", readsOnly, "/jaeger.storage.v1.SpanWriterPlugins/GetTrace", pairs("x-tenant", "acme"), "", codes.Unauthenticated},
		{"reads only: no method", readsOnly, "", pairs("x-tenant", "acme"), "", codes.Unauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := open(t, c.o).Of(callOf(c.method, c.md))
			if got != c.want || status.Code(err) != c.code {
				t.Errorf("%q, %v", got, err)
			}
			if err != nil {
				for _, secret := range append(c.md.Get("bearer.token"), tokenA, tokenAB, tokenAll, tokenOld) {
					if len(secret) > 4 && strings.Contains(err.Error(), secret) {
						t.Errorf("%q tells a token", err)
					}
				}
				if len(err.Error()) > 400 {
					t.Errorf("%d bytes of error", len(err.Error()))
				}
			}
		})
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"tenancy.default: is empty":           {},
		`tenancy.default: tenant "../x"`:      {Enabled: true, Default: "../x"},
		`tenancy.allowed: tenant "a~archive"`: {Enabled: true, Default: "x", Allowed: []string{"a", "a~archive"}},
		"no such file":                        {Enabled: true, TokensFile: filepath.Join(t.TempDir(), "none")},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAWrongFileOfTokensIsToldByItsLineAndNothingInIt(t *testing.T) {
	const secret = "secretsecretsecret"
	for text, want := range map[string]string{
		"":                                    ":1: there is no token",
		"# none\n":                            ":1: there is no token",
		secret:                                ":1: a line has",
		"\n" + secret + " a b c":              ":2: a line has",
		secret + " acme\n" + secret + " acme": ":2: this token has a line already",
		"secretsecret acme":                   ":1: the token is shorter",
		"sha256:" + secret + " acme":          ":1: after sha256:",
		"sha256:00 acme":                      ":1: after sha256:",
		"acmeacmeacmeacme " + secret + "/":    ":1: the second field is no list",
		secret + " acme,":                     ":1: the second field is no list",
		secret + " acme~archive":              ":1: the second field is no list",
		secret + " *,acme":                    ":1: the second field is no list",
		"acmeacmeacmeacme " + secret:          ":1: the second field has a tenant that is not in tenancy.allowed",
		"acmeacmeacmeacme acme " + secret:     ":1: the third field is no time",
		secret + " acme 2027-01-01":           ":1: the third field is no time",
		"\xff\xfe\x00 \x00" + secret + "\x00": ":1: the token is shorter",
	} {
		_, err := New(Options{Enabled: true, Default: "acme", Allowed: []string{"acme"}, TokensFile: fileOf(t, text)})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "tenancy.tokens_file: ") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

// says waits until the log says text.
func (l *lines) says(t *testing.T, text string) {
	t.Helper()
	for {
		l.mu.Lock()
		found := strings.Contains(l.text.String(), text)
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-l.more:
		case <-t.Context().Done():
			t.Fatalf("the log does not say %q", text)
		}
	}
}

func TestTokensAreReadAgainWhenTheirFileChanges(t *testing.T) {
	log := &lines{more: make(chan struct{}, 1)}
	path := fileOf(t, tokenA+" acme\n")
	tenants := open(t, Options{Enabled: true, TokensFile: path, ReloadEvery: time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))})
	is := func(token string, code codes.Code) {
		t.Helper()
		if _, err := tenants.Of(callOf(read, metadata.Pairs("bearer.token", token))); status.Code(err) != code {
			t.Errorf("%v, want %v", err, code)
		}
	}
	change := func(text string) { // as a whole, as secrets are exchanged
		t.Helper()
		if err := os.Rename(fileOf(t, text), path); err != nil {
			t.Fatal(err)
		}
	}
	is(tokenA, codes.OK)
	is(tokenAll, codes.Unauthenticated)
	change(tokenAll + " globex ?\n")
	log.says(t, "tokens stay as they were")
	is(tokenA, codes.OK)
	is(tokenAll, codes.Unauthenticated)
	change(tokenAll + " globex\n")
	log.says(t, "tokens were read again")
	is(tokenA, codes.Unauthenticated)
	is(tokenAll, codes.OK)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	log.says(t, "no such file")
	is(tokenAll, codes.OK)
	log.mu.Lock()
	defer log.mu.Unlock()
	if said := log.text.String(); strings.Contains(said, tokenA) || strings.Contains(said, tokenAll) || strings.Contains(said, "globex") {
		t.Errorf("the log tells what is in the file:\n%s", said)
	}
}

func TestATokenExpires(t *testing.T) {
	tenants := open(t, Options{Enabled: true, TokensFile: fileOf(t, tokenA+" acme 2030-01-01T00:00:00Z")})
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for at, code := range map[time.Time]codes.Code{end.Add(-1): codes.OK, end: codes.Unauthenticated} {
		tenants.now = func() time.Time { return at }
		if _, err := tenants.Of(callOf(read, metadata.Pairs("bearer.token", tokenA))); status.Code(err) != code {
			t.Errorf("at %v: %v", at, err)
		}
	}
}
