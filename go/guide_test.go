package primacy

import (
	"os"
	"strings"
	"testing"
)

// Every piece of Go on these pages is part of an example that the tests run.
func TestThePagesShowCodeThatRuns(t *testing.T) {
	var run string
	for _, file := range []string{"example_test.go", "etcdclient/example_test.go", "etcdfence/example_test.go", "grpcresolver/example_test.go", "sessionutil/example_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		run += outdented(string(text))
	}
	for page, least := range map[string]int{"../docs/go.md": 5, "../README.md": 1} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		pieces := strings.Split(string(text), "```go\n")[1:]
		if len(pieces) < least {
			t.Errorf("%s has %d pieces of code", page, len(pieces))
		}
		for _, piece := range pieces {
			piece, _, _ = strings.Cut(piece, "```")
			if !strings.Contains(run, strings.TrimRight(outdented(piece), " \n")) {
				t.Errorf("%s: no example has this:\n%s", page, piece)
			}
		}
	}
}

func outdented(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString(strings.TrimLeft(line, "\t "))
	}
	return lines.String()
}
