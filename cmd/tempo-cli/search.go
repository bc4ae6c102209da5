package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/blocks"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
)

// found is a trace that a search has found.
type found struct {
	TraceID     string    `json:"traceID"`
	Start       time.Time `json:"start"`
	DurationNs  int64     `json:"durationNano"`
	RootService string    `json:"rootService"`
	RootName    string    `json:"rootName"`
	// HasRoot is whether the root has no parent; else it is a span whose parent is not stored.
	HasRoot bool `json:"hasRoot"`
	Spans   int  `json:"spans"`
	Errors  int  `json:"errors"`
	// Matched is when the newest span started that matches.
	Matched  time.Time      `json:"matched"`
	Services []foundService `json:"services"`
}

type foundService struct {
	Service string `json:"service"`
	Spans   int    `json:"spans"`
	Errors  int    `json:"errors"`
}

func (p *program) searchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Find traces by what their spans have",
		Long: `Find the traces with at least one span on which all conditions hold, those first whose matching span started last.

A tag is an attribute of the span, its resource, its scope or its events; written span:KEY, resource:KEY, scope:KEY or
event:KEY, of just that. Values are compared as text. Of a value above 255 bytes, --tag-regex sees the first 240.

  tempo-cli search --service=checkout --operation=PlaceOrder --min-duration=200ms --since=24h
  tempo-cli search --tag=error=true --tag-prefix=http.url=https://shop/ --tag-regex='user.id=user-1[0-9]+' -o json`,
		Args: noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	var flags queryFlags
	flags.add(cmd.Flags())
	limit := cmd.Flags().Int("limit", 20, "the greatest `number` of traces; 0: all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := flags.query(time.Now())
		if err != nil {
			return err
		}
		if q == nil {
			q = &index.Query{Start: index.Everything, Duration: index.Everything}
		}
		if q.Limit = *limit; *limit < 0 {
			return usage("--limit=%d is negative", *limit)
		}
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		hits, lost := set.Search(cmd.Context(), q)
		if lost != nil && !isAnswer(lost) {
			return fromStore(lost)
		}
		all, missing, err := p.summaries(cmd.Context(), set, hits)
		if err != nil {
			return fromStore(err)
		}
		lost = cmp.Or(lost, missing)
		if output.json() {
			if err := printJSON(p.stdout, map[string]any{"traces": all}); err != nil {
				return err
			}
			return whole(lost)
		}
		t := newTable("TRACE", "START", ">DURATION", ">SPANS", ">ERR", "ROOT")
		for _, f := range all {
			root := f.RootService + ": " + f.RootName
			if !f.HasRoot {
				root = "(without root) " + root
			}
			t.add(f.TraceID, f.Start.Format("01-02 15:04:05"), formatDuration(time.Duration(f.DurationNs)), formatCount(int64(f.Spans)), formatCount(int64(f.Errors)), root)
		}
		t.print(p.stdout)
		if len(all) == *limit && *limit > 0 {
			fmt.Fprintf(p.stdout, "\nthe newest %d; there may be more: --limit\n", *limit)
		} else {
			fmt.Fprintf(p.stdout, "\n%s\n", many(len(all), "trace"))
		}
		return whole(lost)
	}
	return cmd
}

// atOnce is how many traces are asked for at once: each takes a few requests, one after the other.
const atOnce = 16

// summaries returns what is known of the traces that were found, and what is missing from it.
func (p *program) summaries(ctx context.Context, set *blocks.Set, hits []index.Hit) (shown []found, lost, err error) {
	bar := newProgress(p.stderr, "search")
	defer bar.end()
	all := make([]*trace.Summary, len(hits))
	errs := make([]error, len(hits))
	for from := 0; from < len(hits); from += atOnce {
		bar.show(float64(from)/float64(len(hits)), fmt.Sprintf("%s of %s", formatCount(int64(from)), many(len(hits), "trace")))
		var group sync.WaitGroup
		for i := from; i < min(from+atOnce, len(hits)); i++ {
			group.Go(func() { all[i], errs[i] = set.Summary(ctx, trace.ID(hits[i].Key)) })
		}
		group.Wait()
	}
	shown = make([]found, 0, len(hits))
	for i, err := range errs {
		switch {
		case errors.Is(err, tempodb.ErrNotFound):
			continue // retention has dropped it since
		case err != nil && !isAnswer(err):
			return nil, nil, err
		}
		lost = cmp.Or(lost, err)
		if all[i] != nil {
			shown = append(shown, foundOf(hits[i], all[i]))
		}
	}
	return shown, lost, nil
}

func foundOf(hit index.Hit, s *trace.Summary) found {
	f := found{
		TraceID: trace.ID(hit.Key).String(), Start: utc(s.Start), DurationNs: s.End - s.Start,
		RootService: s.RootService, RootName: s.RootName, HasRoot: s.HasRoot, Spans: s.Spans, Errors: s.Errors,
		Matched: utc(hit.Start), Services: []foundService{},
	}
	for _, service := range s.Services {
		f.Services = append(f.Services, foundService(service))
	}
	return f
}

func (p *program) servicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "services",
		Short: "List the services that have spans",
		Long: `List the services that have spans, of all time.

  tempo-cli services --store=gs://traces/prod`,
		Args: noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		services, lost := set.Terms(cmd.Context(), trace.FieldService, nil)
		if lost != nil && !isAnswer(lost) {
			return fromStore(lost)
		}
		if output.json() {
			err = printJSON(p.stdout, map[string]any{"services": orEmpty(services)})
		} else {
			for _, service := range services {
				fmt.Fprintln(p.stdout, cut(service, 1000))
			}
		}
		return cmp.Or(err, whole(lost))
	}
	return cmd
}

// operation is a line of operations.
type operation struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

func (p *program) operationsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "operations SERVICE",
		Short: "List the names and kinds of a service's spans",
		Long: `List the names and kinds of a service's spans, of all time.

  tempo-cli operations checkout`,
		Args: oneArgument("service"),
	}
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		all, lost := operations(cmd, set, args[0])
		if lost != nil && !isAnswer(lost) {
			return fromStore(lost)
		}
		if len(all) == 0 && lost == nil {
			return no("service %q has no spans; services lists those that have", args[0])
		}
		if output.json() {
			err = printJSON(p.stdout, map[string]any{"service": args[0], "operations": orEmpty(all)})
		} else {
			t := newTable("KIND", "NAME")
			for _, o := range all {
				t.add(o.Kind, o.Name)
			}
			t.print(p.stdout)
		}
		return cmp.Or(err, whole(lost))
	}
	return cmd
}

func operations(cmd *cobra.Command, set *blocks.Set, service string) ([]operation, error) {
	terms, lost := set.Terms(cmd.Context(), trace.FieldOperation, trace.AppendOperationPrefix(nil, service))
	var all []operation
	for _, term := range terms {
		_, kind, name, err := trace.ParseOperation([]byte(term))
		if err != nil {
			return nil, damageError{err}
		}
		all = append(all, operation{name, kind.String()})
	}
	slices.SortFunc(all, func(a, b operation) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind)) })
	return all, lost
}
