//go:build twolibs

// A program that links the library beside two other Rust static libraries: one as rustc makes it, as Milvus has one, and
// one pre-linked as ours is. Each has its own copy of Rust's runtime. The two others panic and catch it, in turns with calls
// of ours, which must go on to answer. Ours does not panic here.
package main

/*
#cgo LDFLAGS: ${SRCDIR}/../../lib/twolibs/libplain.a ${SRCDIR}/../../lib/twolibs/libprelinked.a
#include <stdint.h>
int32_t plain_panics(int32_t times);
int32_t primacy_prelinked_panics(int32_t times);
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"

	"primacy.example/go"
)

func main() {
	for round := range 3 {
		config := primacy.Config{
			Endpoints: []string{"127.0.0.1:1"},
			Settings:  map[string]string{"etcd.requestTimeout": "100"},
			Candidate: primacy.Candidate{Address: "127.0.0.1:1", Version: "3.0.0"},
		}
		_, err := primacy.Open(context.Background(), config)
		plain, prelinked := C.plain_panics(8), C.primacy_prelinked_panics(8)
		if !errors.Is(err, primacy.ErrUnreachable) || plain != 8 || prelinked != 8 {
			fmt.Printf("round %d: open: %v; caught %d and %d of 8 panics\n", round, err, plain, prelinked)
			os.Exit(1)
		}
	}
	fmt.Println("twolibs: passed")
}
