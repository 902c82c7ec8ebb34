package sessionutil

import (
	"os"
	"strings"
	"testing"
)

// The patch for Milvus is made by hand, with a tree of it; what it brings is the facade that is checked.
func TestThePatchBringsTheFacade(t *testing.T) {
	patch, err := os.ReadFile("milvus.patch")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"primacy.go", "primacy_test.go"} {
		text, err := os.ReadFile("facade/" + name)
		if err != nil {
			t.Fatal(err)
		}
		added := "+" + strings.ReplaceAll(strings.TrimSuffix(string(text), "\n"), "\n", "\n+") + "\n"
		if !strings.Contains(string(patch), added) {
			t.Errorf("facade/%s is not what the patch brings: make milvus-patch MILVUS=PATH", name)
		}
	}
	// Their own code, without the tag, is as it was.
	for _, line := range strings.Split(string(patch), "\n") {
		if strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "---") {
			t.Errorf("the patch takes something away: %s", line)
		}
	}
}
