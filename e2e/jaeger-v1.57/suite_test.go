package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/jaegertracing/jaeger/pkg/config"
	"github.com/jaegertracing/jaeger/pkg/metrics"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc"
	"github.com/jaegertracing/jaeger/plugin/storage/integration"
)

// TestJaegersStorageSuite runs the suite that Jaeger's own backends pass, with every test of it that a gRPC
// storage can run and no allowance made: Jaeger's suite itself skips GetDependencies and the two sampling tests
// where a storage takes no writes of them, as no gRPC storage does.
func TestJaegersStorageSuite(t *testing.T) {
	s := &jaegersSuite{config: func(t *testing.T) string { return configFor(t, t.TempDir()) }}
	s.run(t)
}

type jaegersSuite struct {
	integration.StorageIntegration
	factory *grpc.Factory
	// config returns the configuration of a plugin on an empty storage.
	config func(t *testing.T) string
}

func (s *jaegersSuite) run(t *testing.T) {
	s.open(t)
	// The suite empties the storage after each test; what it opened last is closed here.
	defer func() { require.NoError(t, s.factory.Close()) }()
	s.RunAll(t)
}

// open starts a plugin on an empty storage through Jaeger's own factory, with Jaeger's own flags.
func (s *jaegersSuite) open(t *testing.T) {
	s.factory = grpc.NewFactory()
	v, command := config.Viperize(s.factory.AddFlags)
	require.NoError(t, command.ParseFlags([]string{
		"--grpc-storage-plugin.binary=" + program("tempo-plugin"),
		"--grpc-storage-plugin.configuration-file=" + s.config(t),
		"--grpc-storage-plugin.log-level=warn",
	}))
	s.factory.InitFromViper(v, zap.NewNop())
	require.NoError(t, s.factory.Initialize(metrics.NullFactory, zap.NewNop()))

	var err error
	s.SpanWriter, err = s.factory.CreateSpanWriter()
	require.NoError(t, err)
	s.SpanReader, err = s.factory.CreateSpanReader()
	require.NoError(t, err)
	s.ArchiveSpanReader, err = s.factory.CreateArchiveSpanReader()
	require.NoError(t, err)
	s.ArchiveSpanWriter, err = s.factory.CreateArchiveSpanWriter()
	require.NoError(t, err)
	s.DependencyReader, err = s.factory.CreateDependencyReader()
	require.NoError(t, err)

	// Called with the *testing.T of a subtest, whose directories vanish with it; hence the suite's t for the next.
	s.CleanUp = func(*testing.T) {
		require.NoError(t, s.factory.Close())
		s.open(t)
	}
}
