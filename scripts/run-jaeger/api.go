package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// jaegerAPI is Jaeger's HTTP API.
type jaegerAPI struct{ base string }

// wait returns when the API answers, and through it the storage.
func (a jaegerAPI) wait(ctx context.Context, patience time.Duration) error {
	err := retry(ctx, patience, func() error {
		_, err := a.get(ctx, "/api/services")
		return err
	})
	if err != nil {
		return fmt.Errorf("no answer from Jaeger within %v: %w", patience, err)
	}
	return nil
}

// find returns a trace of service that began after since.
func (a jaegerAPI) find(ctx context.Context, service string, since time.Time, patience time.Duration) (id string, spans int, err error) {
	query := url.Values{
		"service": {service},
		"start":   {strconv.FormatInt(since.UnixMicro(), 10)},
		"limit":   {"1"},
	}
	var answer struct {
		Data []struct {
			TraceID string
			Spans   []struct{ SpanID string }
		}
	}
	err = retry(ctx, patience, func() error {
		body, err := a.get(ctx, "/api/traces?"+query.Encode())
		if err != nil {
			return err
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		if len(answer.Data) == 0 {
			return fmt.Errorf("no trace of service %q is found", service)
		}
		return nil
	})
	if err != nil {
		return "", 0, fmt.Errorf("traces were sent, but %v later: %w", patience, err)
	}
	return answer.Data[0].TraceID, len(answer.Data[0].Spans), nil
}

// hasUI reports whether Jaeger serves its UI; one built from the Go module serves a placeholder.
func (a jaegerAPI) hasUI(ctx context.Context) bool {
	body, err := a.get(ctx, "/search")
	return err == nil && strings.Contains(string(body), "<script")
}

func (a jaegerAPI) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

// retry calls try until it succeeds, and gives up when patience or ctx ends.
func retry(ctx context.Context, patience time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
