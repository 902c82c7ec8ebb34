//go:build cgo && linux

package callback

// #include <stdint.h>
import "C"

import (
	"runtime/cgo"
	"time"
)

//export callbackGo
func callbackGo(handle C.uintptr_t, called C.int64_t) {
	cgo.Handle(handle).Value().(func(time.Duration))(time.Duration(called))
}
