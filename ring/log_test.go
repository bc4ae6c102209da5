package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-kit/log/level"
)

func TestWhatAStopCutsShortIsNoErrorInTheLog(t *testing.T) {
	for _, test := range []struct {
		err  error
		told bool
	}{
		{errors.New("no route"), true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{fmt.Errorf("failed to CAS-update key: %w", context.Canceled), false},
	} {
		var b bytes.Buffer
		logger := cortexLogger(slog.New(slog.NewTextHandler(&b, nil)))
		if err := level.Error(logger).Log("msg", "failed to write to the KV store", "err", test.err); err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(b.String(), "failed to write"); told != test.told {
			t.Errorf("%v: %q", test.err, b.String())
		}
	}
}
