// Command proto makes the Go code of the .proto files of this repository. `make proto` runs it; what it makes is committed.
//
// It compiles with protocompile and generates with protoc-gen-go and protoc-gen-go-grpc, all pinned by this module: nothing else needs to
// be installed.
//
//	proto -root DIR FILE...
//
// Each FILE is relative to DIR; its code goes where its go_package says, below the module of DIR. With them it makes the code of the files of
// Jaeger's (see jaeger.go). With -check nothing is written: what differs from the code that is there is an error.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const module = "github.com/jaeger-tempo/tempo"

func main() {
	root := flag.String("root", ".", "the directory that imports are relative to, and code is written below")
	check := flag.Bool("check", false, "only compare the code with what is there")
	flag.Parse()
	if err := run(context.Background(), *root, flag.Args(), *check); err != nil {
		fmt.Fprintln(os.Stderr, "proto:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, files []string, check bool) error {
	if len(files) == 0 {
		return errors.New("no files are named")
	}
	jaeger, err := newJaegerResolver(ctx)
	if err != nil {
		return err
	}
	files = slices.Concat(files, slices.Sorted(maps.Keys(jaegerPackages)))
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: []string{root}}, jaeger, protocompile.ResolverFunc(linkedIn),
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, ProtoFile: descriptors(compiled)}
	parameters := "module=" + module
	for file, pkg := range jaegerPackages {
		parameters += ",M" + file + "=" + pkg + ";" + path.Base(pkg) // in place of its go_package
	}
	for _, generator := range []string{"google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc"} {
		request.Parameter = proto.String(parameters)
		if err := generate(ctx, generator, request, root, check); err != nil {
			return fmt.Errorf("%s: %w", generator, err)
		}
	}
	return nil
}

// descriptors returns the files and all that they import, what is imported before who imports it, as generators want it.
func descriptors(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var all []*descriptorpb.FileDescriptorProto
	seen := make(map[string]bool)
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		if compiled, ok := f.(linker.Result); ok {
			all = append(all, compiled.FileDescriptorProto()) // with its comments
		} else {
			all = append(all, protodesc.ToFileDescriptorProto(f))
		}
	}
	for _, f := range files {
		add(f)
	}
	return all
}

func generate(ctx context.Context, generator string, request *pluginpb.CodeGeneratorRequest, root string, check bool) error {
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "run", generator)
	var output bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &output, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output.Bytes(), &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, f := range response.File {
		path := filepath.Join(root, filepath.FromSlash(f.GetName()))
		if strings.Contains(f.GetName(), "..") {
			return fmt.Errorf("would write %s", path)
		}
		if check {
			if there, err := os.ReadFile(path); err != nil || string(there) != f.GetContent() {
				return fmt.Errorf("%s is not what its .proto file makes now: run make proto", f.GetName())
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
		fmt.Println("wrote", f.GetName())
	}
	return nil
}
