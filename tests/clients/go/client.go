package main

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	steady          = 10 * time.Second
	leastAfter4429  = 5 * time.Second
	confirmEvery    = time.Second
	mostFailures    = 5
	mostBadTokens   = 3
	mostUnanswered  = 16
	closeTimeout    = 2 * time.Second
	welcomeTimeout  = 10 * time.Second
	smallestBackoff = 0.5
	largestBackoff  = 30.0
)

var retryAfter = regexp.MustCompile(`retry_after=([0-9.]+)`)

// Client keeps one session open. All its fields belong to the goroutine of run.
type Client struct {
	url       string
	tokenFile string
	device    string
	fresh     bool
	readLimit int64
	maxFrame  int
	silence   time.Duration
	state     *State
	report    func(map[string]any)

	events    chan Event
	current   *Socket
	opening   *Socket
	old       *Socket
	dialing   bool
	attempt   int
	badTokens int
	resumeID  string
	person    int64
	connect   *time.Timer
	sendAgain *time.Timer
	heldBack  time.Time
	confirm   *time.Timer
	confirmed int64
	over      bool
}

// run serves commands and sockets until a command stops it or the server says that trying again is of no use.
func (c *Client) run(commands <-chan Command) {
	c.events = make(chan Event, 100)
	c.connect, c.sendAgain, c.confirm = time.NewTimer(0), stopped(), stopped()
	watch := time.NewTicker(c.silence / 4)
	defer watch.Stop()
	for !c.over {
		select {
		case command, more := <-commands:
			if !more {
				c.stop()
			} else {
				c.do(command)
			}
		case event := <-c.events:
			c.on(event)
		case <-c.connect.C:
			c.dial()
		case <-c.sendAgain.C:
			c.flush()
		case <-c.confirm.C:
			c.sendConfirmation()
		case <-watch.C:
			c.checkSilence()
		}
	}
}

func stopped() *time.Timer {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return timer
}

// --- sockets ---------------------------------------------------------------------------------------------------------

func (c *Client) dial() {
	if !c.dialing && c.opening == nil {
		c.dialing = true
		go dial(c.url, c.readLimit, c.events)
	}
}

func (c *Client) on(event Event) {
	switch {
	case event.opened:
		c.dialing, c.opening = false, event.socket
		event.socket.write(c.hello())
	case event.frame != nil:
		c.onFrame(event.socket, event.frame)
	case event.socket == nil:
		c.dialing = false
		c.onRefusal(event)
	default:
		c.onEnd(event.socket, event.err)
	}
}

func (c *Client) hello() map[string]any {
	hello := map[string]any{"type": "hello", "token": c.token(), "device_id": c.device, "client": "go-example/1.0"}
	if c.maxFrame > 0 {
		hello["max_frame_bytes"] = c.maxFrame
	}
	if c.resumeID != "" {
		hello["resume_id"] = c.resumeID
	}
	if c.state.LastActivityID != nil {
		hello["last_activity_id"], hello["epoch"] = *c.state.LastActivityID, c.state.Epoch
	} else if !c.fresh {
		hello["last_activity_id"] = 0
	}
	return hello
}

func (c *Client) token() string {
	data, err := os.ReadFile(c.tokenFile)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(data))
}

func (c *Client) onRefusal(event Event) {
	if event.status == 400 || event.status == 404 {
		c.giveUp("refused with HTTP " + strconv.Itoa(event.status))
		return
	}
	c.again(event.err.Error(), event.wait)
}

// onEnd is called when a socket has ended.
func (c *Client) onEnd(socket *Socket, err error) {
	if errors.Is(err, websocket.ErrMessageTooBig) {
		// Read the rest until the server's close frame: a connection that is closed with unread bytes is reset, and the
		// reset can overtake our close frame.
		socket.conn.Close(websocket.StatusMessageTooBig, "")
	}
	socket.conn.CloseNow()
	c.state.lost(socket)
	if socket == c.old {
		c.old = nil
		c.report(map[string]any{"saw": "old socket closed", "code": int(websocket.CloseStatus(err))})
		c.flush()
		return
	}
	if socket == c.current && time.Since(socket.since) > steady {
		c.attempt = 0
	}
	wasCurrent := socket == c.current
	if wasCurrent {
		c.current = nil
	} else {
		c.opening = nil
	}
	if wasCurrent && (c.dialing || c.opening != nil) {
		return // its successor is on the way
	}
	if wasCurrent && c.resumeID != "" {
		c.connect.Reset(0)
		return
	}
	c.judge(err)
}

// judge does what the close code says.
func (c *Client) judge(err error) {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		if errors.Is(err, websocket.ErrMessageTooBig) {
			c.giveUp("a frame is too large for this client: " + err.Error())
			return
		}
		c.again(err.Error(), 0)
		return
	}
	code := int(closed.Code)
	why := strconv.Itoa(code) + " " + closed.Reason
	switch code {
	case 1002, 1009, 4400, 4403, 4409:
		c.giveUp(why)
	case 4401:
		c.badTokens++
		if c.badTokens > mostBadTokens {
			c.giveUp(why)
		} else {
			c.again(why, 0) // with what the token file has then
		}
	case 1013:
		c.again(why, secondsIn(closed.Reason))
	case 4429:
		c.again(why, leastAfter4429)
	default:
		c.again(why, 0)
	}
}

func secondsIn(reason string) time.Duration {
	if found := retryAfter.FindStringSubmatch(reason); found != nil {
		seconds, _ := strconv.ParseFloat(found[1], 64)
		return time.Duration(seconds * float64(time.Second))
	}
	return 0
}

// again plans the next attempt: after at least this long, and the backoff with full jitter.
func (c *Client) again(why string, atLeast time.Duration) {
	wait := atLeast + c.backoff(c.attempt)
	c.attempt++
	c.report(map[string]any{"saw": "waiting", "why": why})
	c.connect.Reset(wait)
}

func (c *Client) backoff(attempt int) time.Duration {
	most := math.Min(largestBackoff, smallestBackoff*math.Pow(2, float64(min(attempt, 16))))
	return time.Duration(rand.Float64() * most * float64(time.Second))
}

func (c *Client) giveUp(why string) {
	c.report(map[string]any{"saw": "given up", "why": why})
	c.stop()
}

func (c *Client) stop() {
	for _, socket := range []*Socket{c.current, c.opening, c.old} {
		if socket != nil {
			closing := time.AfterFunc(closeTimeout, func() { socket.conn.CloseNow() })
			socket.conn.Close(websocket.StatusNormalClosure, "")
			closing.Stop()
		}
	}
	c.over = true
}

func (c *Client) checkSilence() {
	for _, socket := range []*Socket{c.current, c.opening} {
		if socket != nil && socket.silentFor() > c.silence {
			c.report(map[string]any{"saw": "silence"})
			socket.conn.CloseNow()
		}
	}
	if c.opening != nil && time.Since(c.opening.since) > welcomeTimeout {
		c.opening.conn.CloseNow()
	}
}

// --- frames ----------------------------------------------------------------------------------------------------------

func (c *Client) onFrame(socket *Socket, frame *Frame) {
	switch frame.Type {
	case "welcome":
		c.onWelcome(socket, frame)
	case "activities":
		if socket == c.current {
			c.onActivities(frame.Activities)
		}
	case "caught_up":
		c.report(map[string]any{"saw": "caught_up", "id": frame.ID})
	case "ack":
		if send := c.state.find(frame.Ref); send != nil {
			c.state.answered(send)
			c.save()
			c.report(map[string]any{"saw": "ack", "name": send.Name, "id": frame.ID, "duplicate": frame.Duplicate})
			c.flush()
		}
	case "error":
		c.onError(frame)
	case "event":
		c.report(map[string]any{"saw": "event", "name": frame.Name, "data": frame.Data})
		if frame.Name == "token.expiring" {
			c.refresh()
		}
	case "reconnect":
		c.resumeID = frame.ResumeID
		c.report(map[string]any{"saw": "reconnect", "after_ms": frame.AfterMS})
		c.connect.Reset(time.Duration(frame.AfterMS) * time.Millisecond)
	case "refreshed":
		c.report(map[string]any{"saw": "refreshed", "token_expires_at": frame.ExpiresAt})
	case "pong":
		c.report(map[string]any{"saw": "pong"})
	}
}

func (c *Client) onWelcome(socket *Socket, frame *Frame) {
	c.old, c.current, c.opening = c.current, socket, nil
	c.badTokens, c.resumeID, c.person = 0, "", frame.PersonID
	if c.state.Epoch != frame.Epoch {
		if c.state.Epoch != "" {
			c.report(map[string]any{"saw": "new epoch"})
			zero := int64(0)
			c.state.LastActivityID = &zero
		}
		c.state.Epoch = frame.Epoch
	}
	if c.state.LastActivityID == nil {
		first := int64(0)
		if c.fresh {
			first = frame.HeadID
		}
		c.state.LastActivityID = &first
	}
	c.save()
	c.report(map[string]any{"saw": "welcome", "head_id": frame.HeadID, "after": *c.state.LastActivityID})
	c.flush()
}

func (c *Client) onActivities(activities []Activity) {
	for _, activity := range activities {
		if activity.ID <= *c.state.LastActivityID {
			continue
		}
		c.report(map[string]any{
			"saw": "activity", "id": activity.ID, "type": activity.Type, "from": activity.From(), "to": activity.To(),
			"message": activity.Message, "message_id": activity.MessageID, "mine": activity.From() == Party{"person", c.person},
		})
		*c.state.LastActivityID = activity.ID
	}
	c.save()
	c.confirm.Reset(confirmEvery)
}

func (c *Client) sendConfirmation() {
	if c.current != nil && *c.state.LastActivityID > c.confirmed {
		c.confirmed = *c.state.LastActivityID
		c.current.write(map[string]any{"type": "received", "id": c.confirmed})
	}
}

func (c *Client) onError(frame *Frame) {
	send := c.state.find(frame.Ref)
	if send == nil {
		c.report(map[string]any{"saw": "error", "code": frame.Code, "message": frame.Message, "ref": frame.Ref})
		return
	}
	again := frame.Code == "rate_limited" || frame.Code == "unavailable"
	wait := time.Duration(frame.RetryAfter * float64(time.Second))
	if frame.Code == "internal" {
		again, wait = send.failures < mostFailures, c.backoff(send.failures)
		send.failures++
	}
	if again {
		send.sentOn = nil
		if until := time.Now().Add(wait); until.After(c.heldBack) {
			c.heldBack = until
			c.sendAgain.Reset(wait)
		}
		c.report(map[string]any{"saw": "held back", "name": send.Name, "code": frame.Code})
		return
	}
	c.state.answered(send)
	c.save()
	c.report(map[string]any{"saw": "refused", "name": send.Name, "code": frame.Code, "message": frame.Message})
	c.flush()
}

// --- sending ---------------------------------------------------------------------------------------------------------

// flush sends what is not sent on any socket, oldest first, as many as may be unanswered.
func (c *Client) flush() {
	if c.current == nil || time.Now().Before(c.heldBack) {
		return
	}
	flying := 0
	for _, send := range c.state.Outbox {
		if flying == mostUnanswered {
			return
		}
		flying++
		if send.sentOn == nil {
			send.sentOn = c.current
			c.current.write(map[string]any{"type": "send", "ref": send.Ref, "activity": send.Activity})
		}
	}
}

func (c *Client) refresh() {
	if c.current != nil {
		c.current.write(map[string]any{"type": "refresh", "token": c.token(), "ref": "refresh"})
	}
}

func (c *Client) save() {
	if err := c.state.save(); err != nil {
		panic(err)
	}
}

// Command is a line of the standard input.
type Command struct {
	Do       string          `json:"do"`
	Name     string          `json:"name"`
	Activity New             `json:"activity"`
	Frame    json.RawMessage `json:"frame"`
}

func (c *Client) do(command Command) {
	switch command.Do {
	case "send":
		c.state.add(command.Name, command.Activity)
		c.save()
		c.flush()
	case "refresh":
		c.refresh()
	case "frame":
		var frame map[string]any
		if err := json.Unmarshal(command.Frame, &frame); err != nil {
			panic(err)
		}
		c.current.write(frame)
	case "stop":
		c.stop()
	}
}
