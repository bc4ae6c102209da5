package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "go.opentelemetry.io/proto/otlp/trace/v1" // which Jaeger's files import
)

// jaegerModule has Jaeger's .proto files in its folder proto. go.mod says in which version.
const jaegerModule = "github.com/jaegertracing/jaeger-idl"

// jaegerPackages are the files of Jaeger's that code is made of, and the packages where it goes.
var jaegerPackages = map[string]string{
	"expression/v1/expression.proto":      module + "/plugin/storagev2/expressionpb",
	"expression/v1/vocabulary.proto":      module + "/plugin/storagev2/expressionpb",
	"storage/v2/capabilities.proto":       module + "/plugin/storagev2/storagepb",
	"storage/v2/dependency_storage.proto": module + "/plugin/storagev2/storagepb",
	"storage/v2/trace_storage.proto":      module + "/plugin/storagev2/storagepb",
}

// What is left out of Jaeger's files: options that describe the HTTP API in OpenAPI, and the file that defines them, of yet another project.
const (
	openAPIImport  = "gnostic/openapiv3/annotations.proto"
	openAPIOptions = "openapi.v3."
)

// jaegerResolver finds Jaeger's files, without the options of OpenAPI.
type jaegerResolver struct{ dir string }

func newJaegerResolver(ctx context.Context) (*jaegerResolver, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", jaegerModule)
	cmd.Stderr = os.Stderr
	dir, err := cmd.Output()
	if err != nil || len(dir) < 2 {
		return nil, fmt.Errorf("module %s is not there (run go mod download in tools/proto): %w", jaegerModule, err)
	}
	return &jaegerResolver{filepath.Join(strings.TrimSpace(string(dir)), "proto")}, nil
}

// FindFileByPath implements protocompile.Resolver.
func (r *jaegerResolver) FindFileByPath(path string) (protocompile.SearchResult, error) {
	if _, ok := jaegerPackages[path]; !ok {
		return protocompile.SearchResult{}, protoregistry.NotFound
	}
	source, err := os.Open(filepath.Join(r.dir, filepath.FromSlash(path)))
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	defer source.Close()
	handler := reporter.NewHandler(nil)
	node, err := parser.Parse(path, source, handler)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	parsed, err := parser.ResultFromAST(node, true, handler)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	file := parsed.FileDescriptorProto()
	file.Dependency = slices.DeleteFunc(file.Dependency, func(name string) bool { return name == openAPIImport })
	dropOpenAPI(file.MessageType)
	return protocompile.SearchResult{ParseResult: parsed}, nil
}

// dropOpenAPI drops the options of OpenAPI from messages and their fields. Jaeger's messages are not nested.
func dropOpenAPI(messages []*descriptorpb.DescriptorProto) {
	isOpenAPI := func(option *descriptorpb.UninterpretedOption) bool {
		return strings.HasPrefix(option.Name[0].GetNamePart(), openAPIOptions)
	}
	for _, message := range messages {
		if message.Options != nil {
			message.Options.UninterpretedOption = slices.DeleteFunc(message.Options.UninterpretedOption, isOpenAPI)
		}
		for _, field := range message.Field {
			if field.Options != nil {
				field.Options.UninterpretedOption = slices.DeleteFunc(field.Options.UninterpretedOption, isOpenAPI)
			}
		}
	}
}

// linkedIn finds the files whose generated code this program imports.
func linkedIn(path string) (protocompile.SearchResult, error) {
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	return protocompile.SearchResult{Desc: file}, err
}
