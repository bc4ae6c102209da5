package jaegers

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// tokenOf is the token of a tenant.
func tokenOf(tenant string) string { return tenant + strings.Repeat("-0123456789", 3) }

// tokensFile returns a file with the tokens of both tenants.
func tokensFile(t *testing.T) string {
	t.Helper()
	name, lines := filepath.Join(t.TempDir(), "tokens"), ""
	for _, tenant := range tenants {
		lines += tokenOf(tenant) + " " + tenant + "\n"
	}
	if err := os.WriteFile(name, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// ownTrip is a trace of a tenant, with an ID that no other has.
func ownTrip(tenant string) []*model.Span {
	return samples.Trip(model.NewTraceID(8, uint64(len(tenant))), tenant)
}

// requireOwn fails the test unless a Jaeger shows what tenant has sent, and nothing of the other.
func requireOwn(t *testing.T, j *jaeger, tenant, other string) {
	t.Helper()
	spans := ownTrip(tenant)
	requireSame(t, tenant+": what was sent", sent(spans), j.await(t, spans[0].TraceID, "", len(spans)))
	if got, err := j.trace(ownTrip(other)[0].TraceID, ""); !isNotFound(err) {
		t.Errorf("%s: a trace of %s: %v, %v", tenant, other, got, err)
	}
	services, err := j.list("/api/services", "")
	if err != nil {
		t.Fatal(err)
	}
	requireSame(t, tenant+": services", []string{tenant}, services)
	if _, err := j.call(http.MethodPost, "/api/archive/"+spans[0].TraceID.String(), ""); err != nil {
		t.Errorf("%s archives a trace of its own: %v", tenant, err)
	}
	if _, err := j.call(http.MethodPost, "/api/archive/"+ownTrip(other)[0].TraceID.String(), ""); !isNotFound(err) {
		t.Errorf("%s archives a trace of %s: %v", tenant, other, err)
	}
}

// TestUsersOfV1AreKnownByTheirTokens: as docs/tenants.md has it. Jaeger's query service passes on the token of its user, the collector a name alone.
func TestUsersOfV1AreKnownByTheirTokens(t *testing.T) {
	o := options{split: true, tokens: "  tokens_file: " + tokensFile(t) + "\n  tokens_for: reads\n"}
	for _, j := range startAll(t, o, v57remote, v76remote) {
		t.Run(j.name, func(t *testing.T) {
			for _, tenant := range tenants {
				if err := j.as(tenant).SendJaegerGRPC(ownTrip(tenant)); err != nil {
					t.Fatal(err)
				}
			}
			for i, tenant := range tenants {
				user := *j
				user.token = tokenOf(tenant)
				requireOwn(t, &user, tenant, tenants[1-i])
			}
			for _, token := range []string{"", "acme-0123456789-0123456789-012345678"} {
				user := *j
				user.token = token
				for _, path := range []string{"/api/services", "/api/traces/" + ownTrip("acme")[0].TraceID.String(), "/api/traces?service=acme"} {
					var e *apiError
					if body, err := user.call(http.MethodGet, path, ""); !errors.As(err, &e) || e.status == http.StatusNotFound {
						t.Errorf("%s with the token %q: %s, %v; want that it is refused", path, token, body, err)
					}
				}
			}
		})
	}
}

// TestV2ShowsTheTokenOfItsTenant: two Jaegers share a server, each configured with the token of its tenant, which is all that says whose spans are whose.
func TestV2ShowsTheTokenOfItsTenant(t *testing.T) {
	first := start(t, v2remote, options{tokens: "  tokens_file: " + tokensFile(t) + "\n", token: tokenOf(tenants[0])})
	second := start(t, v2remote, options{on: first, token: tokenOf(tenants[1])})
	both := []*jaeger{first, second}
	for i, j := range both {
		if err := j.SendJaegerGRPC(ownTrip(tenants[i])); err != nil {
			t.Fatal(err)
		}
	}
	for i, j := range both {
		requireOwn(t, j, tenants[i], tenants[1-i])
	}
	stranger := start(t, v2remote, options{on: first, token: "acme-0123456789-0123456789-012345678"})
	var e *apiError
	if body, err := stranger.call(http.MethodGet, "/api/services", ""); !errors.As(err, &e) {
		t.Errorf("with a wrong token: %s, %v; want that it is refused", body, err)
	}
}
