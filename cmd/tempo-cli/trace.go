package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/blocks"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/inspect"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
)

// lies is where a part of a trace is.
type lies struct {
	Block block.ID `json:"block"`
	Level int      `json:"level"`
	// PageOffset and PageBytes tell the page in the data object, or the pages of a value that takes several; PageKeys
	// how many traces are in it.
	PageOffset int64 `json:"pageOffset"`
	PageBytes  int64 `json:"pageBytes"`
	PageKeys   int64 `json:"pageKeys"`
	// ValueBytes is the length of the part, uncompressed; Spans is how many it has.
	ValueBytes int `json:"valueBytes"`
	Spans      int `json:"spans"`
}

func (p *program) traceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Show a trace, and where it lies",
		Long: `Show in which blocks and pages a trace lies, and then the trace, its parts merged. The ID has 32 hexadecimal digits;
zeros on the left may be left out.

Forms: table is where it lies and the tree of spans; json the same as JSON, the trace in OTLP's form;
otlp-json and jaeger-json the trace alone.

  tempo-cli trace 64aa0bcddc62826e1b13374b8113745f
  tempo-cli trace 64aa0bcddc62826e1b13374b8113745f -o jaeger-json > trace.json    for Jaeger's UI`,
		Args: oneArgument("trace"),
	}
	output := outputFlag(cmd, "table", "json", "otlp-json", "jaeger-json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := trace.ParseID(args[0])
		if err != nil {
			return usageError{err}
		}
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		parts, lost := set.Parts(cmd.Context(), id)
		if lost != nil && !isAnswer(lost) {
			return fromStore(lost)
		}
		if len(parts) == 0 {
			if lost != nil {
				return fromStore(lost)
			}
			return no("trace %s is in none of the %s of tenant %s in %s", id, many(len(set.Blocks().Live), "live block"), p.flags.tenant, p.flags.store)
		}
		data, err := blocks.Join(parts)
		if err != nil {
			return damagedError("trace %s: %w", id, err)
		}
		if err := p.showTrace(cmd, output.value, id, parts, data); err != nil {
			return fromStore(err)
		}
		return whole(lost)
	}
	return cmd
}

func (p *program) showTrace(cmd *cobra.Command, form string, id trace.ID, parts []blocks.Part, data []byte) error {
	switch form {
	case "otlp-json":
		text, err := export.AppendOTLP(nil, data)
		if err != nil {
			return damageError{err}
		}
		_, err = p.stdout.Write(append(text, '\n'))
		return err
	case "jaeger-json":
		text, err := export.AppendJaeger(nil, data)
		if err != nil {
			return damageError{err}
		}
		_, err = p.stdout.Write(append(text, '\n'))
		return err
	}
	var where []lies
	for _, part := range parts {
		place, err := inspect.Find(cmd.Context(), p.bucket, part.Block, block.Key(id))
		if err != nil {
			return err
		}
		spans, err := trace.Spans(part.Data)
		if err != nil {
			return damageError{err}
		}
		where = append(where, lies{part.Block.ID, part.Block.Level, place.Offset, place.Bytes, place.Keys, len(part.Data), spans})
	}
	if form == "json" {
		text, err := export.AppendOTLP(nil, data)
		if err != nil {
			return damageError{err}
		}
		return printJSON(p.stdout, struct {
			TraceID string          `json:"traceID"`
			Parts   []lies          `json:"parts"`
			Trace   json.RawMessage `json:"trace"`
		}{id.String(), where, text})
	}
	t := newTable("BLOCK", ">LEVEL", ">PAGE AT", ">PAGE BYTES", ">TRACES IN IT", ">VALUE BYTES", ">SPANS")
	for _, l := range where {
		t.add(string(l.Block), fmt.Sprint(l.Level), formatCount(l.PageOffset), formatCount(l.PageBytes), formatCount(l.PageKeys), formatCount(int64(l.ValueBytes)), formatCount(int64(l.Spans)))
	}
	t.print(p.stdout)
	return printTree(p.stdout, id, data)
}

// node is a span of the tree.
type node struct {
	service  string
	span     *otlp.Span
	children []*node
}

// printTree writes the spans of a trace, each below its parent, in the order of their start.
func printTree(w io.Writer, id trace.ID, data []byte) error {
	var m otlp.TracesData
	if err := proto.Unmarshal(data, &m); err != nil {
		return damagedError("trace %s is no OTLP: %w", id, err)
	}
	var all []*node
	byID := make(map[string]*node)
	for _, r := range m.ResourceSpans {
		service := trace.ServiceUnknown
		for _, kv := range r.GetResource().GetAttributes() {
			if kv.Key == "service.name" {
				service = export.Text(kv.Value)
			}
		}
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				n := &node{service: service, span: span}
				all = append(all, n)
				if byID[string(span.SpanId)] == nil {
					byID[string(span.SpanId)] = n
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *node) int {
		return cmp.Compare(a.span.StartTimeUnixNano, b.span.StartTimeUnixNano)
	})
	var roots []*node
	for _, n := range all {
		if parent := byID[string(n.span.ParentSpanId)]; parent != nil && parent != n {
			parent.children = append(parent.children, n)
		} else {
			roots = append(roots, n)
		}
	}
	if len(all) == 0 {
		return nil
	}
	begin := all[0].span.StartTimeUnixNano
	fmt.Fprintf(w, "\ntrace %s, %s from %s\n\n", id, many(len(all), "span"), utc(int64(begin)).Format("2006-01-02 15:04:05.000000 MST"))
	fmt.Fprintf(w, "%10s %9s  %s\n", "AFTER", "DURATION", "SPAN")
	t := tree{w: w, begin: begin, seen: make(map[*node]bool)}
	for _, n := range roots {
		note := ""
		switch {
		case byID[string(n.span.ParentSpanId)] == n:
			note = "  (its own parent)"
		case len(n.span.ParentSpanId) > 0:
			note = fmt.Sprintf("  (parent %x is not stored)", n.span.ParentSpanId)
		}
		t.print(n, "", "", note)
	}
	for _, n := range all {
		if !t.seen[n] {
			t.print(n, "", "", "  (its parents form a ring)")
		}
	}
	return nil
}

type tree struct {
	w     io.Writer
	begin uint64
	seen  map[*node]bool
}

// deepest is the depth to which lines are indented: below, what remains of a line would say nothing.
const deepest = 14

func (t *tree) print(n *node, first, rest, note string) {
	if t.seen[n] {
		return
	}
	t.seen[n] = true
	s := n.span
	text := first + n.service + ": " + s.Name
	if kind := trace.Kind(s.Kind); kind != trace.KindUnspecified && kind != trace.KindInternal {
		text += " [" + kind.String() + "]"
	}
	if s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR {
		text += " ERROR"
		if message := s.GetStatus().GetMessage(); message != "" {
			text += ": " + message
		}
	}
	after := "+" + formatDuration(time.Duration(s.StartTimeUnixNano-t.begin))
	fmt.Fprintf(t.w, "%10s %9s  %s\n", after, formatDuration(time.Duration(s.EndTimeUnixNano-s.StartTimeUnixNano)), cut(text+note, width-22))
	deep := utf8.RuneCountInString(rest) >= 3*deepest
	for i, child := range n.children {
		switch {
		case deep:
			t.print(child, rest+"… ", rest, "")
		case i == len(n.children)-1:
			t.print(child, rest+"└─ ", rest+"   ", "")
		default:
			t.print(child, rest+"├─ ", rest+"│  ", "")
		}
	}
}
