package primacy

import (
	"context"
	"log/slog"
)

// A line of the library's log.
type line struct {
	level int32
	text  string
}

// Hands lines to the logger, on a goroutine that ends with the queue: a handler that blocks holds up no thread of the
// library.
func newLog(logger *slog.Logger) *queue[line] {
	q := newQueue[line]()
	go func() {
		for {
			lines, left, ok := q.take()
			if !ok {
				return
			}
			for _, line := range lines {
				logger.Log(context.Background(), slogLevel(line.level), line.text)
			}
			if left > 0 {
				logger.Warn("primacy: lines were left out because the log's handler is slow", "lines", left)
			}
		}
	}()
	return q
}

func slogLevel(level int32) slog.Level {
	switch level {
	case 1:
		return slog.LevelError
	case 2:
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
