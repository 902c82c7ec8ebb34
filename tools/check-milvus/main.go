// Check-milvus type-checks a tree of Milvus with our sessionutil in the place of its own:
//
//	check-milvus [-list FILE] MILVUS PRIMACY
//
// MILVUS is a checked-out tree, which is left as it is; PRIMACY is this repository. It looks at every package, and every test
// of one, that uses sessionutil, directly or not, without running cgo or a C compiler. With -list it writes which of
// sessionutil's identifiers other packages use, and where, instead of failing for what is missing.
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/tools/go/packages"
)

const (
	milvusPath  = "github.com/milvus-io/milvus"
	theirPath   = milvusPath + "/internal/util/sessionutil"
	ourPath     = "primacy.example/go/sessionutil"
	facade      = "go/sessionutil/facade/primacy.go"
	switchedOff = "//go:build !primacy\n\n"
)

func main() {
	list := flag.String("list", "", "write the identifiers that are used to `FILE`")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	failed, err := run(flag.Arg(0), flag.Arg(1), *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "check-milvus:", err)
		os.Exit(1)
	}
	if failed {
		os.Exit(1)
	}
}

func run(milvus, primacy, list string) (failed bool, err error) {
	if milvus, err = filepath.Abs(milvus); err != nil {
		return false, err
	}
	if primacy, err = filepath.Abs(primacy); err != nil {
		return false, err
	}
	folder, err := os.MkdirTemp("", "check-milvus")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(folder)
	overlay, err := overlayOf(milvus, primacy)
	if err != nil {
		return false, err
	}
	modfile, err := modfileOf(milvus, primacy, folder)
	if err != nil {
		return false, err
	}
	loaded, err := packages.Load(&packages.Config{
		Mode:       packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps | packages.NeedModule,
		Dir:        milvus,
		Tests:      true,
		BuildFlags: []string{"-modfile=" + modfile, "-mod=mod", "-tags=primacy,test"},
		Overlay:    overlay,
	}, "./internal/...", "./cmd/...", "./tests/integration/...")
	if err != nil {
		return false, err
	}
	c := &checker{
		fset: token.NewFileSet(), overlay: overlay, done: map[string]*types.Package{}, uses: map[string]string{},
		affected: map[*packages.Package]bool{}, root: milvus,
	}
	for _, p := range loaded {
		c.check(p)
	}
	sort.Strings(c.errors)
	for _, text := range c.errors {
		fmt.Println(text)
	}
	for _, text := range c.unread {
		fmt.Println("not read:", text)
	}
	fmt.Printf("milvus: %d packages, %d errors of ours\n", c.checked, len(c.errors))
	if list != "" {
		return false, os.WriteFile(list, []byte(c.list()), 0o644)
	}
	return len(c.errors) > 0 || len(c.unread) > 0 || c.checked == 0, nil
}

// Their files switched off, and ours beside them: what the patch does.
func overlayOf(milvus, primacy string) (map[string][]byte, error) {
	folder := filepath.Join(milvus, "internal/util/sessionutil")
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no Go files in %s (%v)", folder, err)
	}
	overlay := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(string(text), switchedOff) {
			text = append([]byte(switchedOff), text...)
		}
		overlay[file] = text
	}
	text, err := os.ReadFile(filepath.Join(primacy, facade))
	overlay[filepath.Join(folder, "primacy.go")] = text
	return overlay, err
}

// A go.mod that knows our modules, and a go.sum beside it, outside of the tree.
func modfileOf(milvus, primacy, folder string) (string, error) {
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(milvus, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return "", err
		}
	}
	modfile := filepath.Join(folder, "go.mod")
	arguments := []string{"mod", "edit"}
	for module, at := range map[string]string{"primacy.example/go": "go", ourPath: "go/sessionutil"} {
		arguments = append(arguments, "-require="+module+"@v0.0.0-00010101000000-000000000000",
			"-replace="+module+"="+filepath.Join(primacy, at))
	}
	output, err := exec.Command("go", append(arguments, modfile)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go mod edit: %w: %s", err, output)
	}
	return modfile, nil
}

type checker struct {
	fset     *token.FileSet
	overlay  map[string][]byte
	root     string
	done     map[string]*types.Package // by the packages' ids
	affected map[*packages.Package]bool
	uses     map[string]string // identifiers: where
	checked  int
	errors   []string
	unread   []string
}

// Whether a package uses sessionutil, or one that does.
func (c *checker) reaches(p *packages.Package) bool {
	known, seen := c.affected[p]
	if seen {
		return known
	}
	c.affected[p] = false
	yes := p.PkgPath == theirPath
	for _, imported := range p.Imports {
		yes = c.reaches(imported) || yes
	}
	c.affected[p] = yes
	return yes
}

func (c *checker) check(p *packages.Package) *types.Package {
	if p.PkgPath == "unsafe" {
		return types.Unsafe
	}
	if done, ok := c.done[p.ID]; ok {
		return done
	}
	for _, imported := range p.Imports { // the deepest first, so that no import is met before it is there
		c.check(imported)
	}
	affected := c.reaches(p) && strings.HasPrefix(p.PkgPath, milvusPath)
	var files []*ast.File
	for _, name := range p.GoFiles {
		var text any
		if overlaid, ok := c.overlay[name]; ok {
			text = overlaid
		}
		file, err := parser.ParseFile(c.fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			c.unread = append(c.unread, err.Error())
		}
		if file != nil {
			files = append(files, file)
		}
	}
	if affected && len(files) == 0 && !strings.HasSuffix(p.ID, ".test") {
		c.unread = append(c.unread, p.ID+": no Go files: "+fmt.Sprint(p.Errors))
	}
	info := &types.Info{}
	if affected {
		info.Uses = map[*ast.Ident]types.Object{}
		info.Selections = map[*ast.SelectorExpr]*types.Selection{}
	}
	config := types.Config{
		FakeImportC:      true,
		IgnoreFuncBodies: !affected,
		Importer:         importer{c, p},
		Sizes:            types.SizesFor("gc", "amd64"),
		Error: func(err error) {
			if affected {
				c.errors = append(c.errors, c.relative(err.Error()))
			}
		},
	}
	made, _ := config.Check(p.PkgPath, c.fset, files, info)
	c.done[p.ID] = made
	if affected && len(files) > 0 {
		c.checked++
		c.note(p, info)
	}
	return made
}

func (c *checker) relative(text string) string { return strings.ReplaceAll(text, c.root+"/", "") }

// Remembers what of sessionutil a package uses, and where first.
func (c *checker) note(p *packages.Package, info *types.Info) {
	if p.PkgPath == theirPath {
		return
	}
	use := func(name string, at token.Pos) {
		position := c.relative(c.fset.Position(at).String())
		position = position[:strings.LastIndexByte(position, ':')]
		if before, ok := c.uses[name]; !ok || position < before {
			c.uses[name] = position
		}
	}
	ours := func(object types.Object) bool {
		return object.Pkg() != nil && (object.Pkg().Path() == theirPath || object.Pkg().Path() == ourPath) && object.Exported()
	}
	for name, object := range info.Uses {
		if ours(object) && object.Parent() == object.Pkg().Scope() {
			use(object.Name(), name.Pos())
		}
	}
	for expression, selection := range info.Selections {
		if object := selection.Obj(); ours(object) {
			receiver := selection.Recv()
			if pointer, ok := receiver.(*types.Pointer); ok {
				receiver = pointer.Elem()
			}
			if named, ok := types.Unalias(receiver).(*types.Named); ok && ours(named.Obj()) {
				use(named.Obj().Name()+"."+object.Name(), expression.Sel.Pos())
			}
		}
	}
}

func (c *checker) list() string {
	var lines []string
	for name, at := range c.uses {
		lines = append(lines, name+"\t"+at+"\n")
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

// Imports for one package: which variant of another it means depends on it.
type importer struct {
	checker *checker
	of      *packages.Package
}

func (i importer) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	p, ok := i.of.Imports[path]
	if !ok {
		return nil, fmt.Errorf("%s is not there", path)
	}
	made := i.checker.done[p.ID]
	if made == nil {
		return nil, fmt.Errorf("%s was not read", path)
	}
	if !made.Complete() {
		made.MarkComplete()
	}
	return made, nil
}
