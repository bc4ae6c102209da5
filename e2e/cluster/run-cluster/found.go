package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// found returns nil if a question to Jaeger's API has traces for an answer.
func found(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Data []struct{ TraceID string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", url, response.Status, err)
	}
	if len(answer.Data) == 0 {
		return errors.New("no trace of service demo is found")
	}
	return nil
}
