// A client of Buzz in Go, on github.com/coder/websocket, written from docs/protocol.md alone. A test starts it and talks
// with it: it reads commands from its standard input and writes reports to its standard output, one JSON object a line.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"time"
)

func main() {
	client := &Client{}
	path := flag.String("state", "", "file for the place in the log and the unanswered sends")
	flag.StringVar(&client.url, "url", "", "ws://…/apps/buzz/socket")
	flag.StringVar(&client.tokenFile, "token-file", "", "file with the token; it is read whenever a token is needed")
	flag.StringVar(&client.device, "device", "", "the id of this device")
	flag.BoolVar(&client.fresh, "fresh", false, "start without the history, if nothing is stored")
	flag.Int64Var(&client.readLimit, "read-limit", 0, "the library's read limit in bytes; 0: its default")
	flag.IntVar(&client.maxFrame, "max-frame-bytes", 0, "what hello asks for; 0: nothing")
	flag.DurationVar(&client.silence, "silence", time.Minute, "how long no sign of life means a dead connection")
	flag.Parse()

	state, err := loadState(*path)
	if err != nil {
		panic(err)
	}
	client.state = state
	output := json.NewEncoder(os.Stdout)
	client.report = func(report map[string]any) {
		if err := output.Encode(report); err != nil {
			os.Exit(1)
		}
	}
	client.run(read())
}

func read() <-chan Command {
	commands := make(chan Command)
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var command Command
			if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
				panic(err)
			}
			commands <- command
		}
		close(commands)
	}()
	return commands
}
