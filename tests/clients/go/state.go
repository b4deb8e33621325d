package main

import (
	"encoding/json"
	"errors"
	"os"
)

// State is what the client stores: its place in the log, and the sends that are not answered yet.
type State struct {
	path           string
	Epoch          string  `json:"epoch"`
	LastActivityID *int64  `json:"last_activity_id"`
	NextRef        int64   `json:"next_ref"`
	Outbox         []*Send `json:"outbox"`
}

// Send is an activity that is not answered yet. It is sent again on each new socket until it is.
type Send struct {
	Ref      int64  `json:"ref"`
	Name     string `json:"name"`
	Activity New    `json:"activity"`
	failures int
	sentOn   *Socket
}

func loadState(path string) (*State, error) {
	state := &State{path: path, NextRef: 1}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return state, nil
	}
	if err == nil {
		err = json.Unmarshal(data, state)
	}
	return state, err
}

// save replaces the file in one step: after a crash it has the old state or the new one.
func (s *State) save() error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	draft := s.path + ".tmp"
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, s.path)
}

// add keeps a new send under a ref of its own.
func (s *State) add(name string, activity New) *Send {
	send := &Send{Ref: s.NextRef, Name: name, Activity: activity}
	s.NextRef++
	s.Outbox = append(s.Outbox, send)
	return send
}

// find returns the send with this ref, or nil.
func (s *State) find(ref json.RawMessage) *Send {
	var number int64
	if json.Unmarshal(ref, &number) != nil {
		return nil
	}
	for _, send := range s.Outbox {
		if send.Ref == number {
			return send
		}
	}
	return nil
}

// answered removes a send.
func (s *State) answered(gone *Send) {
	kept := s.Outbox[:0]
	for _, send := range s.Outbox {
		if send != gone {
			kept = append(kept, send)
		}
	}
	s.Outbox = kept
}

// lost marks what is unanswered on a socket as not sent.
func (s *State) lost(socket *Socket) {
	for _, send := range s.Outbox {
		if send.sentOn == socket {
			send.sentOn = nil
		}
	}
}
