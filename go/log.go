package primacy

import (
	"context"
	"log/slog"
)

// A line of the log, by the library's level.
type line struct {
	level int32
	text  string
	args  []any
}

// Hands lines to the logger, on a goroutine that ends with the queue: a handler that blocks holds up no thread of the
// library and none of the host's own handlers, and one that panics ends nothing.
func newLog(logger *slog.Logger) *queue[line] {
	q := newQueue[line]()
	go func() {
		for {
			lines, left, ok := q.take()
			if !ok {
				return
			}
			for _, line := range lines {
				write(logger, line)
			}
			if left > 0 {
				write(logger, line{warning, "primacy: lines were left out because the log's handler is slow", []any{"lines", left}})
			}
		}
	}()
	return q
}

// What a logger's handler panics with has nobody to be told to: the log itself is broken.
func write(logger *slog.Logger, line line) {
	defer func() { _ = recover() }()
	logger.Log(context.Background(), slogLevel(line.level), line.text, line.args...)
}

const warning = 2

func slogLevel(level int32) slog.Level {
	switch level {
	case 1:
		return slog.LevelError
	case warning:
		return slog.LevelWarn
	case 3:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// The least level that the logger takes, by the library's numbers.
func libLevel(logger *slog.Logger) int32 {
	for level := int32(4); level > 1; level-- {
		if logger.Enabled(context.Background(), slogLevel(level)) {
			return level
		}
	}
	return 1
}
