package main

import "encoding/json"

// Frame has the fields of every frame from the server that this client reads.
type Frame struct {
	Type        string          `json:"type"`
	Ref         json.RawMessage `json:"ref"`
	ID          int64           `json:"id"`
	Epoch       string          `json:"epoch"`
	PersonID    int64           `json:"person_id"`
	HeadID      int64           `json:"head_id"`
	Duplicate   bool            `json:"duplicate"`
	Code        string          `json:"code"`
	Message     string          `json:"message"`
	RetryAfter  float64         `json:"retry_after"`
	AfterMS     int64           `json:"after_ms"`
	ResumeID    string          `json:"resume_id"`
	Name        string          `json:"name"`
	Data        json.RawMessage `json:"data"`
	Activities  []Activity      `json:"activities"`
	MaxSend     int             `json:"max_send_bytes"`
	ExpiresAt   string          `json:"token_expires_at"`
	DeviceID    string          `json:"device_id"`
	AfterReason string          `json:"reason"`
}

// Activity is one activity as an `activities` frame has it.
type Activity struct {
	ID             int64   `json:"id"`
	Type           string  `json:"type"`
	SendableType   string  `json:"sendable_type"`
	SendableID     int64   `json:"sendable_id"`
	ReceivableType string  `json:"receivable_type"`
	ReceivableID   int64   `json:"receivable_id"`
	CallTime       *int    `json:"call_time"`
	Message        *string `json:"message"`
	MessageID      *string `json:"message_id"`
	CreatedAt      string  `json:"created_at"`
}

// Party is a person or a company. Two parties are the same only if both fields are.
type Party struct {
	Type string `json:"type"`
	ID   int64  `json:"id"`
}

// party reads the type in each of its spellings.
func party(kind string, id int64) Party {
	switch kind {
	case "AppModelsPerson", `App\Models\Person`:
		kind = "person"
	case "AppModelsCompany", `App\Models\Company`:
		kind = "company"
	}
	return Party{kind, id}
}

// From is the party that an activity is from.
func (a Activity) From() Party { return party(a.SendableType, a.SendableID) }

// To is the party that an activity is for.
func (a Activity) To() Party { return party(a.ReceivableType, a.ReceivableID) }

// New is an activity as a client sends it.
type New struct {
	Type           string  `json:"type"`
	SendableType   string  `json:"sendable_type"`
	SendableID     int64   `json:"sendable_id"`
	ReceivableType string  `json:"receivable_type"`
	ReceivableID   int64   `json:"receivable_id"`
	Message        *string `json:"message,omitempty"`
	MessageID      *string `json:"message_id,omitempty"`
	IdempotencyKey *string `json:"idempotency_key,omitempty"`
}
