package backendtest

import (
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) backend.Bucket { return NewMemory() })
}
