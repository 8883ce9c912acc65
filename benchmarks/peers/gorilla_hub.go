// A room hub on gorilla/websocket, as its chat example does it, with a prepared message so that the frame is made once.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o gorilla_hub gorilla_hub.go
package main

import (
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

const queue = 256 // messages, as in the library's own example

type member struct {
	conn *websocket.Conn
	send chan *websocket.PreparedMessage
	room *room
}

type room struct {
	broadcast  chan *websocket.PreparedMessage
	register   chan *member
	unregister chan *member
	members    map[*member]bool
}

var (
	upgrader = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*http.Request) bool { return true }}
	mutex    sync.Mutex
	rooms    = map[string]*room{}
)

func (r *room) run() {
	for {
		select {
		case m := <-r.register:
			r.members[m] = true
		case m := <-r.unregister:
			if r.members[m] {
				delete(r.members, m)
				close(m.send)
			}
		case message := <-r.broadcast:
			for m := range r.members {
				select {
				case m.send <- message:
				default:
					delete(r.members, m)
					close(m.send)
				}
			}
		}
	}
}

func roomOf(name string) *room {
	mutex.Lock()
	defer mutex.Unlock()
	if rooms[name] == nil {
		rooms[name] = &room{make(chan *websocket.PreparedMessage), make(chan *member), make(chan *member), map[*member]bool{}}
		go rooms[name].run()
	}
	return rooms[name]
}

func (m *member) write() {
	defer m.conn.Close()
	for message := range m.send {
		if m.conn.WritePreparedMessage(message) != nil {
			return
		}
	}
}

func serve(w http.ResponseWriter, request *http.Request) {
	conn, err := upgrader.Upgrade(w, request, nil)
	if err != nil {
		return
	}
	m := &member{conn, make(chan *websocket.PreparedMessage, queue), roomOf(request.URL.Query().Get("room"))}
	m.room.register <- m
	go m.write()
	go func() {
		defer func() { m.room.unregister <- m; conn.Close() }()
		for {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			message, _ := websocket.NewPreparedMessage(websocket.TextMessage, text)
			m.room.broadcast <- message
		}
	}()
}

func main() {
	http.HandleFunc("/ws", serve)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
