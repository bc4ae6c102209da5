package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/inspect"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
)

// view is what blocks view says.
type view struct {
	Meta     *block.Meta    `json:"meta"`
	Bytes    int64          `json:"bytes"`
	Services []string       `json:"services"`
	Objects  []viewedObject `json:"objects"`
	Fields   []viewedField  `json:"fields,omitempty"`
	// Deep is whether the block was read, and not only asked.
	Deep bool `json:"deep"`
}

type viewedObject struct {
	Name         string       `json:"name"`
	Bytes        int64        `json:"bytes"`
	BytesPerSpan float64      `json:"bytesPerSpan"`
	Checksum     block.Sum    `json:"xxh64"`
	Pages        []viewedKind `json:"pages,omitempty"`
	// TailBytes stand after the last page.
	TailBytes int64 `json:"tailBytes,omitempty"`
}

type viewedKind struct {
	Kind    string `json:"kind"`
	Pages   int64  `json:"pages"`
	Stored  int64  `json:"storedBytes"`
	Content int64  `json:"contentBytes"`
	Damaged int64  `json:"damaged,omitempty"`
}

type viewedField struct {
	// Space is span, resource, scope, event or, of what is no attribute, intrinsic.
	Space string `json:"space"`
	Key   string `json:"key"`
	Terms int64  `json:"terms"`
	Lists int64  `json:"lists"`
	Bytes int64  `json:"bytes"`
}

// deepBytes is the size up to which blocks are read without being told to.
const deepBytes = 256 << 20

func (p *program) viewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "view ID",
		Short: "Show what a block is made of",
		Long: `Show what a block is made of: its meta data, its objects with their pages, its services, and the fields that take
the most space in its search object. For the pages and the fields the whole block is read; if it is larger than
256 MiB, only with --deep.

  tempo-cli blocks view 01M826G85SRYJWMRVVZCP3X78E --top=40`,
		Args: oneArgument("block"),
	}
	output := outputFlag(cmd, "table", "json")
	deep := cmd.Flags().Bool("deep", false, "read the whole block, whatever its size (--deep=false: never)")
	top := cmd.Flags().Int("top", 15, "how `many` fields are shown")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseBlockID(args[0])
		if err != nil {
			return err
		}
		b, err := p.openBlock(cmd.Context(), id)
		if err != nil {
			return err
		}
		v := view{Meta: b.Meta(), Bytes: b.Meta().Bytes(), Deep: *deep}
		if !cmd.Flags().Changed("deep") {
			v.Deep = v.Bytes <= deepBytes
		}
		if err := p.fillView(cmd, b, &v); err != nil {
			return fromStore(err)
		}
		if output.json() {
			return printJSON(p.stdout, &v)
		}
		printView(p.stdout, &v, *top)
		for _, o := range v.Objects {
			for _, k := range o.Pages {
				if k.Damaged > 0 {
					return damagedError("object %s has damaged pages: blocks verify %s says which", o.Name, id)
				}
			}
		}
		return nil
	}
	return cmd
}

func (p *program) fillView(cmd *cobra.Command, b *block.Block, v *view) error {
	m := b.Meta()
	err := b.Terms(cmd.Context(), trace.FieldService, nil, func(value []byte) bool {
		v.Services = append(v.Services, string(value))
		return true
	})
	if err != nil {
		return err
	}
	v.Services = orEmpty(v.Services)
	for _, name := range slices.Sorted(maps.Keys(m.Objects)) {
		o := m.Objects[name]
		object := viewedObject{Name: name, Bytes: o.Bytes, Checksum: o.Checksum}
		if m.Rows > 0 {
			object.BytesPerSpan = float64(o.Bytes) / float64(m.Rows)
		}
		if v.Deep {
			counts, tail, err := inspect.Pages(cmd.Context(), p.bucket, m, name, nil)
			if err != nil {
				return err
			}
			object.TailBytes = tail
			for _, kind := range slices.Sorted(maps.Keys(counts)) {
				c := counts[kind]
				object.Pages = append(object.Pages, viewedKind{kind.String(), c.Pages, c.Stored, c.Content, c.Damaged})
			}
		}
		v.Objects = append(v.Objects, object)
	}
	if !v.Deep {
		return nil
	}
	fields, err := inspect.Fields(cmd.Context(), p.bucket, m)
	for _, f := range fields {
		space, key := fieldName(f.Name)
		v.Fields = append(v.Fields, viewedField{space, key, f.Terms, f.Records, f.Bytes})
	}
	return err
}

// fieldName returns the space and the key of a field of the search object.
func fieldName(field []byte) (space, key string) {
	k, s, ok := trace.ParseField(field)
	if !ok {
		return "intrinsic", string(field[:max(len(field)-1, 0)])
	}
	switch s {
	case trace.SpaceResource:
		space = "resource"
	case trace.SpaceScope:
		space = "scope"
	case trace.SpaceEvent:
		space = "event"
	default:
		space = "span"
	}
	return space, string(k)
}

func printView(w io.Writer, v *view, top int) {
	m := v.Meta
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("block", "%s of tenant %s, format %d", m.ID, m.Tenant, m.Version)
	line("created", "%s", m.Created.UTC().Format(clock))
	if m.Rows > 0 {
		line("spans of", "%s … %s (%s)", utc(m.MinStart).Format(clock), utc(m.MaxEnd).Format(clock), formatAge(utc(m.MaxEnd).Sub(utc(m.MinStart))))
		line("holds", "%s keys, %s spans, %s, %.1f bytes a span", formatCount(m.Keys), formatCount(m.Rows), formatBytes(v.Bytes), float64(v.Bytes)/float64(m.Rows))
	}
	line("keys", "%s … %s", m.MinKey, m.MaxKey)
	line("level", "%d", m.Level)
	for i, parent := range m.Parents {
		line([]string{"parents", ""}[min(i, 1)], "%s", parent)
	}
	for i, source := range m.Sources {
		line([]string{"log", ""}[min(i, 1)], "%s", source)
	}
	line("services", "%s", strings.Join(v.Services, ", "))

	fmt.Fprintln(w)
	t := newTable("OBJECT", ">BYTES", ">B/SPAN", "PAGES", ">NUMBER", ">STORED", ">CONTENT", ">RATIO", "DAMAGED")
	for _, o := range v.Objects {
		t.add(o.Name, formatCount(o.Bytes), fmt.Sprintf("%.2f", o.BytesPerSpan), "", "", "", "", "", "")
		for i, k := range o.Pages {
			damaged := ""
			if k.Damaged > 0 {
				damaged = formatCount(k.Damaged)
			}
			cells := []string{"", "", "", k.Kind, formatCount(k.Pages), formatBytes(k.Stored), formatBytes(k.Content), fmt.Sprintf("%.1f", float64(k.Content)/float64(k.Stored)), damaged}
			if i == 0 {
				last := t.rows[len(t.rows)-1]
				copy(last[3:], cells[3:])
				continue
			}
			t.add(cells...)
		}
	}
	t.print(w)
	if !v.Deep {
		fmt.Fprintln(w, "\nThe block is larger than 256 MiB: --deep reads it, and shows its pages and fields.")
		return
	}
	if len(v.Fields) > 0 {
		fmt.Fprintln(w)
		var all, terms int64
		for _, f := range v.Fields {
			all += f.Bytes
			terms += f.Terms
		}
		f := newTable("SEARCHED FIELD", "OF", ">TERMS", ">BYTES", ">SHARE", ">B/SPAN")
		for i, x := range v.Fields {
			if i == top {
				break
			}
			f.add(cut(x.Key, 44), x.Space, formatCount(x.Terms), formatCount(x.Bytes), fmt.Sprintf("%.1f%%", 100*float64(x.Bytes)/float64(max(all, 1))), fmt.Sprintf("%.2f", float64(x.Bytes)/float64(max(m.Rows, 1))))
		}
		f.print(w)
		fmt.Fprintf(w, "%s fields with %s terms take %s.\n", formatCount(int64(len(v.Fields))), formatCount(terms), formatBytes(all))
	}
}
