/** What the test images are made of: packages of Debian 13 for riscv64, a few files, and how each is run. */

/** One image. */
export interface Recipe {
  /** Packages; what they depend on comes along. */
  readonly packages: ReadonlyArray<string>
  /** Files beside those of the packages: their content, and whether they can be executed. */
  readonly files: Readonly<Record<string, { readonly content: string; readonly isExecutable?: boolean }>>
  /** Folders that belong to somebody. */
  readonly folders: Readonly<Record<string, { readonly uid: number; readonly gid: number; readonly mode?: number }>>
  readonly config: {
    readonly user?: string
    readonly entrypoint?: ReadonlyArray<string>
    readonly cmd: ReadonlyArray<string>
    readonly env?: ReadonlyArray<string>
    readonly workingDir?: string
    readonly exposedPorts?: ReadonlyArray<string>
    readonly volumes?: ReadonlyArray<string>
    readonly stopSignal?: string
  }
}

/** What every image has: a C library, a shell, the commands that scripts of packages use, and busybox to ask servers with. */
export const basePackages = ["base-files", "libc6", "dash", "coreutils", "sed", "grep", "busybox-static"]

/** What packages ask for to be set up, and what a server that only serves has no use for. */
export const leftOut: ReadonlySet<string> = new Set([
  "adduser",
  "debconf",
  "debconf-2.0",
  "init-system-helpers",
  "iproute2",
  "libllvm19",
  "libc-l10n",
  "locales",
  "locales-all",
  "logrotate",
  "media-types",
  "mount",
  "passwd",
  "perl",
  "perl-base",
  "postgresql-client-common",
  "postgresql-common",
  "procps",
  "python3-minimal",
  "ssl-cert",
  "sysvinit-utils",
  "ucf"
])

/** Users and groups of all images: packages would make theirs when they are set up. */
export const baseFiles = {
  "etc/passwd":
    "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nredis:x:101:101::/data:/usr/sbin/nologin\npostgres:x:102:102::/data:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  "etc/group": "root:x:0:\nadm:x:4:\nwww-data:x:33:\nredis:x:101:\npostgres:x:102:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n"
} as const

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const notesServer = `"""Keeps notes in SQLite with a write-ahead log. POST adds one and answers when it is durable, GET lists them."""
import http.server
import os
import sqlite3

database = sqlite3.connect(os.environ.get("NOTES", "/data/notes.db"), isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=FULL")
database.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")


class Notes(http.server.BaseHTTPRequestHandler):
    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        rows = database.execute("SELECT id, text FROM notes ORDER BY id").fetchall()
        self.answer("".join(f"{number} {text}\\n" for number, text in rows))

    def do_POST(self):
        text = self.rfile.read(int(self.headers["content-length"])).decode()
        cursor = database.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        self.answer(f"{cursor.lastrowid}\\n")

    def log_message(self, *arguments):
        pass


http.server.HTTPServer(("", 8000), Notes).serve_forever()
`

const startPostgres = `#!/bin/sh
set -e
bin=/usr/lib/postgresql/17/bin
data=/data/17
if [ ! -f "$data/PG_VERSION" ]; then
  "$bin/initdb" -D "$data" --auth=trust --no-locale --encoding=UTF8 >/dev/null
  echo "host all all 10.0.2.2/32 trust" >>"$data/pg_hba.conf"
fi
exec "$bin/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off "$@"
`

const nodeServer = `const { createServer } = require("node:http")
let count = 0
createServer((_, response) => response.end("request " + ++count + "\\n")).listen(3000)
`

/** The images, by the tags that they have in the layout. */
export const recipes: Readonly<Record<string, Recipe>> = {
  redis: {
    packages: ["redis-server", "redis-tools"],
    files: {},
    folders: { data: { uid: 101, gid: 101 } },
    config: {
      user: "redis",
      entrypoint: ["redis-server"],
      cmd: ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--protected-mode", "no"],
      env: [path],
      workingDir: "/data",
      exposedPorts: ["6379/tcp"],
      volumes: ["/data"]
    }
  },
  python: {
    packages: ["python3.13", "sqlite3"],
    files: { "app/notes.py": { content: notesServer } },
    folders: { data: { uid: 0, gid: 0 } },
    config: {
      entrypoint: ["python3.13"],
      cmd: ["-u", "/app/notes.py"],
      env: [path, "PYTHONDONTWRITEBYTECODE=1"],
      workingDir: "/data",
      exposedPorts: ["8000/tcp"],
      volumes: ["/data"],
      stopSignal: "SIGINT"
    }
  },
  nginx: {
    packages: ["nginx"],
    files: {
      "var/www/html/index.html": { content: "<p>served by nginx</p>\n" },
      // The package makes its own site when it is set up.
      "etc/nginx/conf.d/site.conf": { content: "server { listen 80; root /var/www/html; }\n" }
    },
    folders: { "var/log/nginx": { uid: 33, gid: 4 }, "var/lib/nginx": { uid: 33, gid: 33 } },
    config: {
      cmd: ["nginx", "-g", "daemon off;"],
      env: [path],
      exposedPorts: ["80/tcp"],
      stopSignal: "SIGQUIT"
    }
  },
  postgres: {
    packages: ["postgresql-17"],
    files: { "usr/local/bin/start-postgres": { content: startPostgres, isExecutable: true } },
    folders: { data: { uid: 102, gid: 102, mode: 0o700 } },
    config: {
      user: "postgres",
      entrypoint: ["start-postgres"],
      cmd: [],
      env: [path, "LC_ALL=C"],
      workingDir: "/data",
      exposedPorts: ["5432/tcp"],
      volumes: ["/data"],
      stopSignal: "SIGINT"
    }
  },
  nodejs: {
    packages: ["nodejs"],
    files: { "app/server.js": { content: nodeServer } },
    folders: {},
    config: {
      entrypoint: ["node"],
      cmd: ["/app/server.js"],
      env: [path],
      workingDir: "/app",
      exposedPorts: ["3000/tcp"]
    }
  }
}
