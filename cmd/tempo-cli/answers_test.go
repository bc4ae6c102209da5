package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/bench/workload"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export/exporttest"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tracedb"
)

type searchAnswer struct{ Traces []found }

// answer returns what a search says.
func answer(t *testing.T, dir string, args ...string) []found {
	t.Helper()
	return parse[searchAnswer](t, ask(t, dir, append([]string{"search", "-o", "json"}, args...)...)).Traces
}

// flagsOf returns a query of the workload as flags. how is what a tag is asked with.
func flagsOf(q workload.Query, how string) (args []string) {
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag+"="+value)
		}
	}
	add("service", q.Service)
	add("operation", q.Operation)
	if q.Key != "" {
		add(how, q.Key+"="+q.Value)
	}
	if q.DurationMin > 0 {
		add("min-duration", q.DurationMin.String())
	}
	return args
}

func mustAnswer(t *testing.T, what string, got []found, want []workload.Hit) {
	t.Helper()
	ids := func(yield func(string) bool) {
		for _, f := range got {
			if !yield(f.TraceID + f.Matched.String()) {
				return
			}
		}
	}
	truth := func(yield func(string) bool) {
		for _, h := range want {
			if !yield(fmt.Sprintf("%x", h.TraceID) + utc(h.Start).String()) {
				return
			}
		}
	}
	if !slices.Equal(slices.Collect(ids), slices.Collect(truth)) {
		t.Errorf("%s: %d traces, want %d, or they are in another order", what, len(got), len(want))
	}
}

func TestSearchAnswersAsTheWorkloadKnows(t *testing.T) {
	spans := make(map[string]int)
	for _, part := range shop.truth.Traces {
		spans[fmt.Sprintf("%x", part.TraceID)] = part.Spans
	}
	for i, q := range workload.Queries() {
		want := shop.truth.Answers[i]
		all := answer(t, shop.dir, append(flagsOf(q, "tag"), "--limit=0")...)
		mustAnswer(t, fmt.Sprintf("%+v", q), all, want)
		for _, f := range all {
			if f.Spans != spans[f.TraceID] {
				t.Errorf("trace %s has %d spans, says %d", f.TraceID, spans[f.TraceID], f.Spans)
			}
		}
		mustAnswer(t, fmt.Sprintf("the newest 3 of %+v", q), answer(t, shop.dir, append(flagsOf(q, "tag"), "--limit=3")...), want[:min(3, len(want))])
	}
}

func TestPrefixesAndRegexesFindWhatEqualityFinds(t *testing.T) {
	for i, q := range workload.Queries() {
		if q.Key == "" || q.Kind == "tag of one user" {
			continue
		}
		want := shop.truth.Answers[i]
		mustAnswer(t, fmt.Sprintf("prefix %+v", q), answer(t, shop.dir, append(flagsOf(q, "tag-prefix"), "--limit=0")...), want)
		mustAnswer(t, fmt.Sprintf("regex %+v", q), answer(t, shop.dir, append(flagsOf(q, "tag-regex"), "--limit=0")...), want)
	}
	// Every user there is, by what they have in common.
	all := answer(t, shop.dir, "--service=frontend", "--tag-prefix=user.id=user-", "--limit=0")
	some := answer(t, shop.dir, "--service=frontend", "--tag-regex=user.id=user-[0-9]*[02468]", "--limit=0")
	others := answer(t, shop.dir, "--service=frontend", "--tag-regex=user.id=user-[0-9]*[13579]", "--limit=0")
	if len(all) == 0 || len(some) == 0 || len(all) != len(some)+len(others) {
		t.Errorf("%d users, of which %d even and %d odd", len(all), len(some), len(others))
	}
}

func TestATagIsLookedForWhereItIsSaid(t *testing.T) {
	for tag, in := range map[string]string{"deployment.environment=production": "resource", "http.status_code=500": "span", "otel.scope.version=0.49.0": "scope", "event=charged": "event"} {
		for _, how := range []string{"tag", "tag-prefix", "tag-regex"} {
			want := answer(t, shop.dir, "--"+how+"="+tag, "--limit=2")
			if len(want) != 2 {
				t.Errorf("--%s=%s: %d traces", how, tag, len(want))
			}
			for _, space := range []string{"span", "resource", "scope", "event"} {
				got := answer(t, shop.dir, "--"+how+"="+space+":"+tag, "--limit=2")
				if space == in && !slices.EqualFunc(got, want, func(a, b found) bool { return a.TraceID == b.TraceID }) || space != in && len(got) > 0 {
					t.Errorf("--%s=%s:%s: %+v", how, space, tag, got)
				}
			}
		}
	}
	// On the same span: those of the frontend have the one, those of the database the other.
	if got := answer(t, shop.dir, "--tag=http.method=POST", "--tag=db.system=redis", "--limit=0"); len(got) > 0 {
		t.Errorf("%d traces with both on one span", len(got))
	}
}

func TestSearchIsBoundedByTime(t *testing.T) {
	all := answer(t, shop.dir, "--service=frontend", "--limit=0")
	middle := all[len(all)/2].Matched
	later := answer(t, shop.dir, "--service=frontend", "--limit=0", "--since="+middle.Format("2006-01-02T15:04:05.999999999Z07:00"))
	if len(later) < len(all)/2 || len(later) == len(all) {
		t.Errorf("%d of %d since the middle", len(later), len(all))
	}
	for _, f := range later {
		if f.Matched.Before(middle) {
			t.Errorf("%s matched before", f.TraceID)
		}
	}
	if none := answer(t, shop.dir, "--since=1h"); len(none) > 0 {
		t.Errorf("%d traces of the last hour", len(none))
	}
}

func TestServicesAndOperationsAreThoseOfTheWorkload(t *testing.T) {
	services := parse[struct{ Services []string }](t, ask(t, shop.dir, "services", "-o", "json")).Services
	if want := slices.Sorted(maps.Keys(shop.truth.Operations)); !slices.Equal(services, want) {
		t.Errorf("services %q, want %q", services, want)
	}
	for _, service := range services {
		type answer struct {
			Service    string
			Operations []operation
		}
		names := make(map[string]bool)
		for _, o := range parse[answer](t, ask(t, shop.dir, "operations", service, "-o", "json")).Operations {
			names[o.Name] = true
		}
		if got, want := slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(shop.truth.Operations[service])); !slices.Equal(got, want) {
			t.Errorf("operations of %s: %q, want %q", service, got, want)
		}
	}
}

type traceAnswer struct {
	TraceID string
	Parts   []lies
	Trace   json.RawMessage
}

// shared returns a trace that lies in two blocks.
func shared(t *testing.T, dir string) (id string, spans int) {
	t.Helper()
	for _, part := range shop.truth.Traces {
		id := fmt.Sprintf("%x", part.TraceID)
		if a := parse[traceAnswer](t, ask(t, dir, "trace", id, "-o", "json")); len(a.Parts) > 1 {
			return id, part.Spans
		}
	}
	t.Fatal("no trace lies in two blocks")
	return "", 0
}

func TestATraceIsWholeAndSaysWhereItLies(t *testing.T) {
	id, spans := shared(t, shop.dir)
	a := parse[traceAnswer](t, ask(t, shop.dir, "trace", id, "-o", "json"))
	sum := 0
	for _, part := range a.Parts {
		sum += part.Spans
		data, err := os.ReadFile(filepath.Join(shop.dir, "blocks", defaultTenant, string(part.Block), "data"))
		if err != nil {
			t.Fatal(err)
		}
		if part.PageBytes < 20 || part.PageOffset+part.PageBytes > int64(len(data)) || part.PageKeys < 1 || part.ValueBytes < 1 {
			t.Errorf("%+v", part)
			continue
		}
		// A page says its own length in the four bytes after six others.
		if stored := binary.LittleEndian.Uint32(data[part.PageOffset+6:]); int64(stored)+18 != part.PageBytes {
			t.Errorf("at %d begins a page of %d bytes, not of %d", part.PageOffset, stored+18, part.PageBytes)
		}
		line := ask(t, shop.dir, "blocks", "cat", string(part.Block), "--key", id)
		if n := exporttest.CountSpans(exporttest.ParseOTLP(t, []byte(line))); n != part.Spans {
			t.Errorf("cat has %d spans, want %d", n, part.Spans)
		}
	}
	whole := exporttest.ParseOTLP(t, a.Trace)
	if a.TraceID != id || sum != spans || exporttest.CountSpans(whole) != spans {
		t.Errorf("%d spans in parts, %d in the trace; want %d", sum, exporttest.CountSpans(whole), spans)
	}
	if alone := exporttest.ParseOTLP(t, []byte(ask(t, shop.dir, "trace", strings.ToUpper(id), "-o", "otlp-json"))); !proto.Equal(whole, alone) {
		t.Error("otlp-json is another trace")
	}
	table := ask(t, shop.dir, "trace", id)
	for _, part := range a.Parts {
		if !strings.Contains(table, string(part.Block)) {
			t.Errorf("the table lacks block %s", part.Block)
		}
	}
	_, tree, _ := strings.Cut(table, "SPAN\n")
	if n := strings.Count(tree, "\n"); n != spans {
		t.Errorf("the tree has %d spans, want %d:\n%s", n, spans, table)
	}
	var jaeger struct {
		Data []struct {
			TraceID string
			Spans   []json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(ask(t, shop.dir, "trace", id, "-o", "jaeger-json")), &jaeger); err != nil || len(jaeger.Data) != 1 || jaeger.Data[0].TraceID != id || len(jaeger.Data[0].Spans) != spans {
		t.Errorf("jaeger-json: %v, %+v", err, jaeger)
	}
}

func TestATreeOfARingAndOfADeepChainIsPrinted(t *testing.T) {
	span := func(id, parent byte) *otlp.Span {
		s := &otlp.Span{Name: "s", TraceId: bytes.Repeat([]byte{1}, 16), SpanId: []byte{0, 0, 0, 0, 0, 0, 1, id}}
		if parent > 0 {
			s.ParentSpanId = []byte{0, 0, 0, 0, 0, 0, 1, parent}
		}
		return s
	}
	spans := []*otlp.Span{span(1, 2), span(2, 1), span(3, 3), span(4, 0), span(5, 99)}
	for i := byte(100); i < 200; i++ {
		spans = append(spans, span(i+1, i))
	}
	data, err := proto.Marshal(&otlp.TracesData{ResourceSpans: []*otlp.ResourceSpans{{ScopeSpans: []*otlp.ScopeSpans{{Spans: spans}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printTree(&out, [16]byte{1}, data); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), ": s"); n != len(spans) {
		t.Errorf("%d of %d spans:\n%s", n, len(spans), out.String())
	}
}

// flip damages an object of a block: a byte in its middle.
func flip(t *testing.T, dir string, id block.ID, object string) {
	t.Helper()
	change(t, dir, id, object, func(content []byte) { content[len(content)/2] ^= 1 })
}

// change changes an object of a block.
func change(t *testing.T, dir string, id block.ID, object string, how func(content []byte)) {
	t.Helper()
	name := filepath.Join(dir, "blocks", defaultTenant, string(id), object)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	how(content)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCatOfADamagedBlockPrintsTheRest(t *testing.T) {
	dir := copyOf(t)
	b := list(t, dir).Blocks[0]
	flip(t, dir, b.ID, "data")
	stdout, stderr, code := try("--store="+dir, "blocks", "cat", string(b.ID))
	lines := int64(strings.Count(stdout, "\n"))
	if code != exitDamage || !strings.Contains(stderr, "offset") || lines < b.Keys/2 || lines >= b.Keys {
		t.Errorf("exit code %d, %d of %d traces, %s", code, lines, b.Keys, stderr)
	}
}

func TestASearchAroundDamageIsWholeAndSaysSo(t *testing.T) {
	dir := copyOf(t)
	id := list(t, dir).Blocks[0].ID
	change(t, dir, id, "search", func(content []byte) {
		for i := 0; i < len(content); i += 64 { // in every page
			content[i] ^= 1
		}
	})
	stdout, stderr, code := try("--store="+dir, "search", "--limit=0", "-o", "json")
	if n := len(parse[searchAnswer](t, stdout).Traces); code != exitOK || n != traces || !strings.Contains(stderr, "detour") || !strings.Contains(stderr, string(id)) {
		t.Errorf("exit code %d, %d traces: %s", code, n, stderr)
	}
}

func TestCatPrintsEveryTraceOfABlock(t *testing.T) {
	for _, b := range list(t, shop.dir).Blocks {
		lines := strings.Split(strings.TrimSuffix(ask(t, shop.dir, "blocks", "cat", string(b.ID)), "\n"), "\n")
		spans := 0
		for _, line := range lines {
			spans += exporttest.CountSpans(exporttest.ParseOTLP(t, []byte(line)))
		}
		if int64(len(lines)) != b.Keys || int64(spans) != b.Spans {
			t.Errorf("block %s has %d keys and %d spans, cat prints %d and %d", b.ID, b.Keys, b.Spans, len(lines), spans)
		}
	}
}

func TestViewAddsUp(t *testing.T) {
	for _, b := range list(t, shop.dir).Blocks {
		v := parse[view](t, ask(t, shop.dir, "blocks", "view", string(b.ID), "-o", "json"))
		if v.Meta.ID != b.ID || v.Bytes != b.Bytes || len(v.Objects) != len(v.Meta.Objects) || !v.Deep {
			t.Errorf("%+v", v)
		}
		var search int64
		for _, o := range v.Objects {
			sum := o.TailBytes
			for _, k := range o.Pages {
				if sum += k.Stored; k.Damaged > 0 {
					t.Errorf("object %s of block %s: %d damaged pages", o.Name, b.ID, k.Damaged)
				}
				if o.Name == "search" && k.Kind == "records" {
					search = k.Stored
				}
			}
			if sum != o.Bytes || len(o.Pages) == 0 || o.TailBytes > 64 {
				t.Errorf("object %s has %d bytes, its pages and tail %d", o.Name, o.Bytes, sum)
			}
		}
		var fields int64
		for _, f := range v.Fields {
			fields += f.Bytes
		}
		if n := int64(len(v.Fields)); n < 20 || fields < search-n-100 || fields > search+n {
			t.Errorf("%d fields take %d bytes, the pages of terms %d", n, fields, search)
		}
		for _, f := range v.Fields {
			if f.Space == "intrinsic" && f.Key == "service" && f.Terms != int64(len(v.Services)) {
				t.Errorf("%d terms for %d services", f.Terms, len(v.Services))
			}
		}
	}
	shallow := parse[view](t, ask(t, shop.dir, "blocks", "view", string(list(t, shop.dir).Blocks[0].ID), "--deep=false", "-o", "json"))
	if shallow.Deep || len(shallow.Fields) > 0 || len(shallow.Objects) == 0 {
		t.Errorf("%+v", shallow)
	}
}

type verifyAnswer struct {
	Blocks  []verified
	Damaged int
}

func TestVerifyNamesTheDamageOfAFlippedByte(t *testing.T) {
	if v := parse[verifyAnswer](t, ask(t, shop.dir, "blocks", "verify", "--all", "-o", "json")); v.Damaged != 0 || len(v.Blocks) != len(list(t, shop.dir).Blocks) {
		t.Fatalf("a whole store: %+v", v)
	}
	id := list(t, shop.dir).Blocks[0].ID
	for _, object := range []string{"data", "index", "filter", "search", "summary", "meta.json"} {
		dir := copyOf(t)
		// In two places, of which each must be named.
		var at []int
		change(t, dir, id, object, func(content []byte) {
			at = []int{len(content) / 3, len(content) * 2 / 3}
			for _, i := range at {
				content[i] ^= 0x10
			}
		})
		stdout, stderr, code := try("--store="+dir, "blocks", "verify", "--all", "-o", "json")
		v := parse[verifyAnswer](t, stdout)
		i := slices.IndexFunc(v.Blocks, func(v verified) bool { return v.ID == id })
		if code != exitDamage || v.Damaged != 1 || i < 0 || v.Blocks[i].OK || !strings.Contains(stderr, "1 of") {
			t.Errorf("%s: exit code %d, %+v, %s", object, code, v, stderr)
			continue
		}
		near := 0
		for _, d := range v.Blocks[i].Damage {
			if d.Object != object {
				t.Errorf("%s: %s is named", object, d.Object)
			}
			for _, i := range at {
				if d.Offset <= int64(i) && d.Offset > int64(i)-200_000 && d.What != "object" {
					near++
				}
			}
		}
		if object == "data" && near < 2 {
			t.Errorf("%s flipped at %d: %+v", object, at, v.Blocks[i].Damage)
		}
		text, _, _ := try("--store="+dir, "blocks", "verify", string(id))
		if !strings.Contains(text, "DAMAGED") || !strings.Contains(text, object) || !strings.Contains(text, "offset") {
			t.Errorf("%s: %s", object, text)
		}
		if object != "meta.json" {
			continue
		}
		if text, _, code := try("--store="+dir, "blocks", "list"); code != exitDamage || !strings.Contains(text, stateDamaged) {
			t.Errorf("list: %d, %s", code, text)
		}
		if text, stderr, code := try("--store="+dir, "search"); code != exitDamage || !strings.Contains(stderr, string(id)) || !strings.Contains(stderr, "not whole") || !strings.Contains(text, "TRACE") {
			t.Errorf("search: %d, %s%s", code, text, stderr)
		}
	}
}

func TestADetourAroundDamageIsTold(t *testing.T) {
	dir := copyOf(t)
	id := list(t, dir).Blocks[0].ID
	flip(t, dir, id, "filter")
	part := shop.truth.Traces[0]
	stdout, stderr, code := try("--store="+dir, "trace", fmt.Sprintf("%x", part.TraceID), "-o", "otlp-json")
	if code != exitOK || !strings.Contains(stderr, "detour") || !strings.Contains(stderr, string(id)) || exporttest.CountSpans(exporttest.ParseOTLP(t, []byte(stdout))) != part.Spans {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestTheQuarantineIsListedAndExplained(t *testing.T) {
	dir := copyOf(t)
	if out := ask(t, dir, "quarantine", "list"); !strings.Contains(out, "nothing") {
		t.Error(out)
	}
	id := list(t, dir).Blocks[0].ID
	flip(t, dir, id, "data")
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	want, err := block.Salvage(t.Context(), bucket, defaultTenant, id, tracedb.Codec{}, block.SalvageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := parse[struct{ Quarantine []setAside }](t, ask(t, dir, "quarantine", "list", "-o", "json")).Quarantine
	if len(all) != 1 || all[0].ID != id || all[0].Tenant != defaultTenant || all[0].Saved != want.Saved || all[0].NewBlock != want.NewBlock || all[0].Damage != want.DamageCount {
		t.Errorf("%+v, want %+v", all, want)
	}
	for _, args := range [][]string{{"quarantine", "list"}, {"quarantine", "view", string(id)}} {
		text := ask(t, dir, args...)
		for _, word := range []string{string(id), string(want.NewBlock)} {
			if !strings.Contains(text, word) {
				t.Errorf("%s does not say %s: %s", args, word, text)
			}
		}
	}
	if r := parse[block.SalvageReport](t, ask(t, dir, "quarantine", "view", string(id), "-o", "json")); r.Block != id || len(r.Lost) != want.LostCount {
		t.Errorf("%+v", r)
	}
	if tenants := ask(t, dir, "tenants"); tenants != defaultTenant+"\n" {
		t.Errorf("tenants: %q", tenants)
	}
	if _, stderr, code := try("--store="+dir, "quarantine", "view", string(want.NewBlock)); code != exitNotFound || !strings.Contains(stderr, "not in quarantine") {
		t.Errorf("%d: %s", code, stderr)
	}
}

func TestVerifyNamesAMissingObject(t *testing.T) {
	for _, object := range []string{"data", "index", "filter", "search", "summary"} {
		dir := copyOf(t)
		id := list(t, dir).Blocks[1].ID
		if err := os.Remove(filepath.Join(dir, "blocks", defaultTenant, string(id), object)); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := try("--store="+dir, "blocks", "verify", string(id), "-o", "json")
		if code != exitDamage {
			t.Fatalf("%s: exit code %d: %s", object, code, stderr)
		}
		v := parse[verifyAnswer](t, stdout)
		if !slices.ContainsFunc(v.Blocks[0].Damage, func(d damage) bool { return d.Object == object && d.What == missingObject }) {
			t.Errorf("%s: %+v", object, v)
		}
	}
}

func TestGenWritesTheRequestsOfTheWorkload(t *testing.T) {
	dir := t.TempDir()
	for _, format := range []string{"otlp-proto", "otlp-json"} {
		file := filepath.Join(dir, format)
		if _, stderr, code := try("gen", "--format", format, "-o", file, "--traces=20", "--seed=3"); code != exitOK {
			t.Fatal(stderr)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for r := range workload.New(3, 20).Requests() {
			if format == "otlp-proto" {
				n := binary.BigEndian.Uint32(content)
				if !bytes.Equal(content[4:4+n], r.Data) {
					t.Fatal("another request")
				}
				content = content[4+n:]
				continue
			}
			line, rest, _ := bytes.Cut(content, []byte{'\n'})
			var want otlp.TracesData
			if err := proto.Unmarshal(r.Data, &want); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(exporttest.ParseOTLP(t, line), &want) {
				t.Fatal("another request")
			}
			content = rest
		}
		if len(content) > 0 {
			t.Errorf("%s: %d bytes too much", format, len(content))
		}
	}
}

// exported runs export and returns the file's content.
func exported(t *testing.T, dir string, format export.Format, args ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out")
	ask(t, dir, append([]string{"export", "--format=" + string(format), "-o", file}, args...)...)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	return content
}

// idOf returns the trace ID in a line of OTLP JSON, without parsing the rest.
func idOf(t *testing.T, line []byte) string {
	t.Helper()
	const key = `"traceId":"`
	i := bytes.Index(line, []byte(key))
	if i < 0 || len(line) < i+len(key)+32 {
		t.Fatalf("no trace ID in %.100s", line)
	}
	return string(line[i+len(key):][:32])
}

func TestExportWritesEveryTraceOnceAndWhole(t *testing.T) {
	compacted := copyOf(t)
	merge(t, compacted)
	for name, dir := range map[string]string{"blocks": shop.dir, "one block": compacted} {
		seen := make(map[string]int)
		for line := range bytes.Lines(exported(t, dir, export.OTLPJSON)) {
			m := exporttest.ParseOTLP(t, line)
			id := fmt.Sprintf("%x", m.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId)
			if seen[id] > 0 {
				t.Errorf("%s: trace %s twice", name, id)
			}
			seen[id] = exporttest.CountSpans(m)
		}
		if len(seen) != traces {
			t.Errorf("%s: %d traces, want %d", name, len(seen), traces)
		}
		for _, part := range shop.truth.Traces {
			if id := fmt.Sprintf("%x", part.TraceID); seen[id] != part.Spans {
				t.Errorf("%s: trace %s has %d spans, want %d", name, id, seen[id], part.Spans)
			}
		}
	}
}

func TestExportWithConditionsWritesWhatSearchFinds(t *testing.T) {
	for i, q := range workload.Queries() {
		want := make(map[string]bool)
		for _, hit := range shop.truth.Answers[i] {
			want[fmt.Sprintf("%x", hit.TraceID)] = true
		}
		got := make(map[string]bool)
		n := 0
		for line := range bytes.Lines(exported(t, shop.dir, export.OTLPJSON, flagsOf(q, "tag")...)) {
			got[idOf(t, line)] = true
			n++
		}
		if !maps.Equal(got, want) || n != len(want) {
			t.Errorf("%+v: %d traces in %d lines, want %d", q, len(got), n, len(want))
		}
	}
}

func TestExportOfADamagedStoreWritesTheRestAndSaysSo(t *testing.T) {
	dir := copyOf(t)
	id := list(t, dir).Blocks[0].ID
	flip(t, dir, id, "data")
	file := filepath.Join(t.TempDir(), "out")
	_, stderr, code := try("--store="+dir, "export", "--format=otlp-json", "-o", file)
	if code != exitDamage || !strings.Contains(stderr, string(id)) || !strings.Contains(stderr, "offset") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range bytes.Lines(text) {
		id := idOf(t, line)
		if seen[id] {
			t.Errorf("trace %s twice", id)
		}
		seen[id] = true
	}
	v := parse[view](t, ask(t, shop.dir, "blocks", "view", string(id), "-o", "json"))
	pages := int64(0)
	for _, o := range v.Objects {
		if o.Name == "data" {
			for _, k := range o.Pages {
				pages += k.Pages
			}
		}
	}
	if lost := int64(traces - len(seen)); pages < 3 || lost < 1 || lost > 3*v.Meta.Keys/pages {
		t.Errorf("%d traces are missing, of a block of %d in %d pages", lost, v.Meta.Keys, pages)
	}
}

func TestSearchOfAnEmptyAnswerIsAnAnswer(t *testing.T) {
	if out := ask(t, shop.dir, "search", "--service=nobody"); !strings.Contains(out, "0 traces") {
		t.Error(out)
	}
}
