package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const writeTimeout = 10 * time.Second

// Socket is one connection. A goroutine reads it and passes everything on as events.
type Socket struct {
	conn    *websocket.Conn
	heardAt atomic.Int64
	since   time.Time
}

// Event is one of: a socket was opened, a frame arrived, a socket ended. A failed attempt has no socket.
type Event struct {
	socket *Socket
	frame  *Frame
	opened bool
	err    error
	wait   time.Duration
	status int
}

// dial opens a socket and reads it until it ends.
func dial(url string, readLimit int64, events chan<- Event) {
	socket := &Socket{}
	socket.heardAt.Store(time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	conn, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		Subprotocols:   []string{"buzz.v1.json"},
		OnPingReceived: func(context.Context, []byte) bool { socket.heard(); return true },
	})
	cancel()
	if err != nil {
		events <- refused(answer, err)
		return
	}
	if readLimit > 0 {
		conn.SetReadLimit(readLimit)
	}
	socket.conn, socket.since = conn, time.Now()
	events <- Event{socket: socket, opened: true}
	socket.read(events)
}

func refused(answer *http.Response, err error) Event {
	event := Event{err: err}
	if answer != nil {
		event.status = answer.StatusCode
		if seconds, bad := strconv.ParseFloat(answer.Header.Get("Retry-After"), 64); bad == nil {
			event.wait = time.Duration(seconds * float64(time.Second))
		}
	}
	return event
}

func (s *Socket) read(events chan<- Event) {
	for {
		_, data, err := s.conn.Read(context.Background())
		if err != nil {
			events <- Event{socket: s, err: err}
			return
		}
		s.heard()
		frame := &Frame{}
		if err := json.Unmarshal(data, frame); err != nil {
			events <- Event{socket: s, err: errors.New("the server's frame cannot be read: " + err.Error())}
			return
		}
		events <- Event{socket: s, frame: frame}
	}
}

// write sends one frame. A failure shows in the reading too, which ends the socket.
func (s *Socket) write(frame map[string]any) {
	data, err := json.Marshal(frame)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, data) != nil {
		s.conn.CloseNow()
	}
}

func (s *Socket) heard() { s.heardAt.Store(time.Now().UnixNano()) }

func (s *Socket) silentFor() time.Duration { return time.Since(time.Unix(0, s.heardAt.Load())) }
