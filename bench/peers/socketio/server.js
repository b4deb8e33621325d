// A chat server as the documentation of Socket.IO (rooms, acknowledgements, middleware for the credentials) and of
// better-sqlite3 (WAL, prepared statements) recommends. Every send is validated, stored with a synced commit, then
// acknowledged and pushed to the sessions of both people.
"use strict";

const { createServer } = require("node:http");
const Database = require("better-sqlite3");
const { Server } = require("socket.io");

const database = new Database(process.argv[2]);
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");
database.exec(`
  CREATE TABLE IF NOT EXISTS activity (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sender INTEGER NOT NULL,
    receiver INTEGER NOT NULL,
    message TEXT NOT NULL,
    message_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (sender, message_id)
  );
  CREATE INDEX IF NOT EXISTS activity_sender ON activity (sender);
  CREATE INDEX IF NOT EXISTS activity_receiver ON activity (receiver);
`);
const insert = database.prepare(
  "INSERT INTO activity (sender, receiver, message, message_id, created_at) VALUES (?, ?, ?, ?, ?)",
);

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });

io.use((socket, next) => {
  const person = socket.handshake.auth.person;
  if (!Number.isSafeInteger(person) || person < 1) {
    next(new Error("unauthorized"));
    return;
  }
  socket.data.person = person;
  next();
});

io.on("connection", (socket) => {
  const { person } = socket.data;
  socket.join(`person:${person}`);
  socket.on("send", ({ to, message, message_id }, acknowledge) => {
    if (!Number.isSafeInteger(to) || typeof message !== "string" || message.length > 65536 ||
        typeof message_id !== "string" || message_id.length !== 36) {
      acknowledge({ error: "bad_request" });
      return;
    }
    const created_at = new Date().toISOString();
    const { lastInsertRowid } = insert.run(person, to, message, message_id, created_at);
    const id = Number(lastInsertRowid);
    acknowledge({ id, created_at });
    io.to(`person:${person}`).to(`person:${to}`).emit("activity", {
      id, sender: person, receiver: to, message, message_id, created_at,
    });
  });
});

http.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
});
process.on("SIGTERM", () => process.exit(0));
