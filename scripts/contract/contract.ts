/**
 * The one contract between the guest's agent, the core in Rust and the library: events, frames, reasons, limits.
 *
 * `make generate` writes from it what the three need; `make check` says if that is stale. `docs/design/contract.md` tells
 * how to add to it. Kinds and numbers are only ever appended: recordings and snapshots hold them.
 *
 * @module
 */
import type { Contract, Field } from "./form.ts"

const field = (name: string, type: string, doc: string, most?: string): Field =>
  most === undefined ? { name, type, doc } : { name, type, doc, most }

const token = field("token", "u32", "Token of the request that this answers.")
const execId = field("id", "u32", "The command, as its request names it.")
const message = field("message", "text", "What happened, for people; nothing is to be decided by it.", "textBytes")
const step = field("step", "text", "What was being done.", "textBytes")
const errno = field("errno", "i32", "Linux error number.")
const endReason = field("reason", "u32", "The firmware interface's reason code.")
const exit = field("status", "status", "How it ended: `code` or `signal`, the other is null.")
const device = field("device", "text", "Name of the device.")
const disk = field("disk", "text", "Name of the disk.", "textBytes")
const port = field("port", "u32", "Number of the serial port; 0 is the console.")
const path = field("path", "text", "Path of the socket; a leading `@` stands for the abstract name space.", "textBytes")
const listener = [
  field("protocol", "Protocol", "Transport protocol."),
  field("address", "text", "Address that it listens on.", "textBytes"),
  field("port", "u16", "Port number.")
]

const connection = [
  field("direction", "ConnectionDirection", "Who began it."),
  field("guestPort", "u16", "The guest's port."),
  field("peerAddress", "text", "The peer's address, as the guest knows it."),
  field("peerPort", "u16", "The peer's port, as the guest knows it.")
]

export const contract: Contract = {
  version: 4,

  limits: {
    frameBytes: { value: 65536, doc: "Largest length field of a frame: its type and payload" },
    lineBytes: { value: 4096, doc: "Longest line of console text, in the guest's bytes" },
    textBytes: { value: 4096, doc: "Longest text that the agent says about something: a message, an address, a path" },
    eventNameBytes: { value: 64, doc: "Longest name of a custom event" },
    payloadBytes: { value: 32768, doc: "Longest payload of a custom event" },
    payloadDepth: { value: 64, doc: "Most brackets of a custom event's payload inside each other" },
    entropyLeastBytes: { value: 32, doc: "Fewest bytes of entropy that make a new identity" },
    entropyBytes: { value: 4096, doc: "Most bytes of entropy in a new identity" },
    hostnameBytes: { value: 64, doc: "Longest host name" },
    commands: { value: 128, doc: "Commands that run at the same time" },
    commandInputBytes: {
      value: 1 << 20,
      doc: "Standard input of a command that may be on its way: sent and not yet told as taken; more is refused"
    },
    guestAddress: { value: 0x0a00020f, doc: "The guest's address on its network, version 4" },
    gatewayAddress: { value: 0x0a000202, doc: "The host's address there, and the guest's way out" },
    networkBits: { value: 24, doc: "Bits of the network's prefix" },
    networkPrefixFirst: { value: 0xfd53, doc: "The network's prefix, version 6: its first 16 bits" },
    networkPrefixSecond: { value: 0x5449, doc: "The 16 bits that follow" },
    networkPrefixThird: { value: 0x4c4c, doc: "The 16 bits that follow those; the other bits of the prefix are 0" },
    networkPrefixBits: { value: 64, doc: "Bits of that prefix" },
    guestHost: { value: 0x15, doc: "The guest's address behind that prefix" },
    gatewayHost: { value: 2, doc: "The host's address behind it" },
    commandMuchBytes: {
      value: 32768,
      doc: "Input and output of one command from which on everything goes over the agent's channel; `ExecInputTaken` is first told there"
    },
    commandOutputBytes: { value: 61440, doc: "Output of a command in one frame" }
  },

  enumerations: {
    Protocol: {
      doc: "Transport protocol of a listener, by its number in IP.",
      values: {
        tcp: [6, "Transmission control protocol; multipath too."],
        udp: [17, "User datagram protocol."]
      }
    },
    OutputStream: {
      doc: "Output stream of a command.",
      values: { stdout: [1, "Standard output."], stderr: [2, "Standard error."] }
    },
    InputKind: {
      doc: "Where injected host input went.",
      values: {
        control: [0, "A frame on the agent's control port."],
        serial: [1, "Bytes on a serial port."],
        renewal: [2, "A renewal of the machine's randomness, generation and clock."],
        withheld: [
          3,
          "A frame on the agent's control port that holds a secret: its place is recorded, its bytes are not. What is given again from a recording ends here, unless the secret is given again."
        ],
        network: [4, "Ethernet frames on the network interface, each with its length less 14, u16, before it."]
      }
    },
    NetworkProtocol: {
      doc: "What a packet of the guest's carries, by its number in IP.",
      values: {
        other: [0, "Any other protocol."],
        icmp: [1, "Internet control message protocol."],
        tcp: [6, "Transmission control protocol."],
        udp: [17, "User datagram protocol."]
      }
    },
    ConnectionDirection: {
      doc: "Who began a connection.",
      values: { inward: [0, "Somebody outside."], outward: [1, "The guest."] }
    },
    ConnectionEnd: {
      doc: "How a connection ended.",
      values: { closed: [0, "Both sides have said their last."], reset: [1, "One side has reset it."] }
    },
    NetworkRefusal: {
      doc: "Why the guest does not reach what it wanted to reach.",
      values: {
        NotAllowed: [0, "The policy does not allow it."],
        TooMany: [1, "As many connections as the machine may have are open."],
        Unreachable: [2, "It is allowed, and the host could not connect: refused, no way there, or no answer."]
      }
    },
    DiskOperation: {
      doc: "What a guest asks of a disk.",
      values: {
        read: [0, "To have bytes."],
        write: [1, "To keep bytes."],
        flush: [2, "To have what was written reach the storage."],
        zero: [3, "To make bytes zero, or to keep none there."]
      }
    },
    DiskFailure: {
      doc: "Why a disk does not do what a guest asked of it.",
      values: {
        Refused: [0, "The host's operating system refused; `errno` says why."],
        Shortened: [1, "The disk's file has become shorter than it was."],
        Changed: [2, "The disk's file holds other bytes there than it did."],
        NoMemory: [3, "The host's memory for guests is used up."],
        Broken: [4, "What was written did not reach the storage at an earlier flush: nobody knows what did."],
        Unverified: [5, "What a snapshot holds of the disk is not what was captured."]
      }
    },
    DiskAccess: {
      doc: "What becomes of what a guest writes to a disk.",
      values: {
        read: [0, "It is refused."],
        copyOnWrite: [1, "It stays in the machine, over a file."],
        scratch: [2, "It stays in the machine, over zeros."],
        volume: [3, "It goes to the file."]
      }
    },
    RejectReason: {
      doc: "Why something was refused.",
      values: {
        Unspecified: [0, "A recording of an older form, which has a message only."],
        FrameUnknown: [1, "No frame has this number."],
        FrameMalformed: [2, "The payload does not have the fields of its frame."],
        FrameTooLarge: [3, "The frame is longer than the protocol allows."],
        FrameIncomplete: [4, "The frame was begun and not completed."],
        OverLimit: [5, "A field is over its limit in size, depth or number."],
        ContractMismatch: [6, "The agent was built from another contract."],
        NothingHeld: [7, "No workload is being held."],
        ProgramMissing: [8, "A command needs a program."],
        IdInUse: [9, "A command of this id is running."],
        CommandUnknown: [10, "No command of this id is running."],
        InputClosed: [11, "The command's input is closed."],
        InputFull: [12, "The command has not read what it was given before."],
        SignalInvalid: [13, "There is no such signal, or it cannot be sent."],
        StreamsFailed: [14, "The command's streams cannot be served."],
        FreezeFailed: [15, "The workload does not freeze."],
        ThawFailed: [16, "The workload cannot be thawed."],
        IdentityInvalid: [17, "A part of the new identity is not what it must be; nothing has changed."],
        EntropyFailed: [18, "The random source cannot be reseeded."],
        NameFailed: [19, "The host name or machine id cannot be set."],
        EnvironmentFailed: [20, "The environment cannot be kept."],
        ClockFailed: [21, "The clock cannot be set."],
        HookFailed: [22, "The identity hook ended with a failure, or cannot be started."],
        HookTimedOut: [23, "The identity hook did not end in time."],
        ListenerSeccompBusy: [
          24,
          "A filter of the workload's own takes the notifications that listeners are noticed by."
        ],
        NoSpace: [25, "A file system of the guest is full."],
        NoMemory: [26, "The guest has no memory for it."],
        EventNameInvalid: [27, "A custom event's name is not 1 to 64 of `A-Z a-z 0-9 . _ : / -`, or begins with `-`."],
        EventPayloadInvalid: [28, "A custom event's payload is not JSON within the limits."],
        PowerOffFailed: [29, "The machine does not power off."],
        Failed: [30, "The guest's kernel refused; the message says what."],
        WorkloadPresent: [31, "The guest has its workload."],
        WorkloadInvalid: [32, "A setting of the workload is not what it must be; nothing has changed."],
        CommandsFull: [33, "As many commands run as the agent has room for."],
        NotATerminal: [34, "The command has no terminal."]
      }
    }
  },

  events: {
    SerialLine: { doc: "A line of console text, without its end.", fields: [port, field("text", "text", "The line.")] },
    HeartbeatTick: {
      doc: "The agent is alive.",
      frame: 0x02,
      fields: [field("count", "natural", "Heartbeats so far.")]
    },
    WorkloadPreExec: {
      doc: "The workload is about to be executed; until the hold ends it has not run.",
      frame: 0x03,
      fields: [
        field("argv", "texts", "Program and arguments."),
        {
          ...field("holdNanos", "natural?", "Guest time until it is executed; null: held until the host says go."),
          was: 100_000_000
        }
      ]
    },
    ListenerBound: {
      doc: "The workload is reachable at an address now: told once until `ListenerClosed`, however many sockets have it.",
      frame: 0x04,
      fields: listener
    },
    WorkloadParked: {
      doc: "The workload's main process ended well and left others, none of which listens.",
      frame: 0x05,
      fields: []
    },
    WorkloadExited: { doc: "The workload has ended.", frame: 0x06, fields: [exit] },
    WorkloadFailed: {
      doc: "The workload could not be started.",
      frame: 0x07,
      version: 4,
      fields: [step, errno, message]
    },
    GuestIdle: { doc: "The processor began to wait for an interrupt.", fields: [] },
    GuestBusy: { doc: "The processor's wait is over.", fields: [] },
    IoStarted: { doc: "A device has a request in flight.", fields: [device] },
    IoSettled: { doc: "A device has no request in flight any more.", fields: [device] },
    PagesDirtied: {
      doc: "Pages were written since the sample before.",
      fields: [field("count", "natural", "Number of pages.")]
    },
    AgentReady: {
      doc: "The agent serves the host's frames.",
      frame: 0x01,
      isHello: true,
      fields: [
        field("protocolVersion", "u32", "Version of the contract that it was built from."),
        field("kernelRelease", "text", "The kernel's release.", "textBytes")
      ]
    },
    AgentFrozen: {
      doc: "The workload is frozen, files are synced, output has left.",
      frame: 0x08,
      version: 3,
      fields: [token]
    },
    AgentThawed: { doc: "The workload goes on.", frame: 0x09, fields: [token] },
    IdentityApplied: { doc: "The guest has its new identity.", frame: 0x0a, fields: [token] },
    AgentRejected: {
      doc: "A frame was refused: by the agent, or one of the agent's by the machine.",
      frame: 0x10,
      version: 3,
      fields: [
        field("request", "FrameName", "What was refused."),
        field("id", "u32?", "Command or token of the request; null if it has none, or could not be read."),
        field("reason", "RejectReason", "Why."),
        field("message", "text", "The same for people; nothing is to be decided by it.", "textBytes")
      ]
    },
    ExecStarted: {
      doc: "A command runs.",
      frame: 0x0b,
      fields: [execId, field("pid", "u32", "Its process id in the guest.")]
    },
    ExecOutput: {
      doc: "A command has written.",
      frame: 0x0c,
      fields: [execId, field("stream", "OutputStream", "Where to."), field("data", "bytes", "What.")]
    },
    ExecExited: { doc: "A command has ended.", frame: 0x0d, fields: [execId, exit] },
    ExecFailed: {
      doc: "A command could not be started.",
      frame: 0x0e,
      version: 4,
      fields: [execId, step, errno, message]
    },
    HostInput: {
      doc: "The host gave the guest something: recorded, so that it can be given again.",
      fields: [
        field("kind", "InputKind", "Where it went."),
        field("port", "u32", "Number of the serial port."),
        field("data", "bytes", "The bytes.")
      ]
    },
    GuestPanicked: { doc: "The guest's kernel has panicked.", fields: [field("message", "text", "What it said.")] },
    GuestHalted: { doc: "The guest has switched itself off.", fields: [endReason] },
    GuestReset: { doc: "The guest has reset itself.", fields: [endReason] },
    EngineFault: { doc: "The engine cannot go on.", fields: [field("message", "text", "Why.")] },
    Custom: {
      doc: "An event that the workload defines, sent with `stillpoint-emit`.",
      frame: 0x0f,
      fields: [
        field("name", "text", "Its name.", "eventNameBytes"),
        field("payload", "json", "Its payload.", "payloadBytes")
      ]
    },
    ListenerClosed: {
      doc: "The last socket with an address of `ListenerBound` has gone: with its last descriptor, or shut down.",
      frame: 0x11,
      fields: listener
    },
    UnixListenerBound: {
      doc: "A stream or seqpacket socket of the workload accepts connections in the Unix domain; as `ListenerBound`.",
      frame: 0x12,
      fields: [path]
    },
    UnixListenerClosed: {
      doc: "The last socket with a path of `UnixListenerBound` has gone; as `ListenerClosed`.",
      frame: 0x13,
      fields: [path]
    },
    EventsDropped: {
      version: 3,
      doc: "The guest said more than its quota in some time; this many events of a kind were not told.",
      fields: [field("kind", "kind", "What was dropped."), field("count", "natural", "How many events.")]
    },
    SerialText: {
      doc: "Console text that stands without a line's end: a prompt, say. The line that it begins follows, whole, once it ends.",
      fields: [port, field("text", "text", "The text since the last line's end.")]
    },
    ExecInputTaken: {
      doc: "A command has taken, or will never take, more of its standard input: the host may send as much again.",
      frame: 0x14,
      fields: [execId, field("bytes", "natural", "Bytes since it was last told.")]
    },
    ExecOutputHeld: {
      doc: "A command has said as much output as it was let say: what it writes now waits until it is let say more.",
      frame: 0x15,
      fields: [execId]
    },
    NetworkRefused: {
      doc: "The guest wanted to reach somebody outside and does not.",
      fields: [
        field("protocol", "NetworkProtocol", "Which protocol."),
        field("address", "text", "The address that it wanted to reach."),
        field("port", "u16", "The port; 0 where the protocol has none."),
        field("reason", "NetworkRefusal", "Why not."),
        field(
          "count",
          "natural",
          "How many refusals this tells of: this one, and those before it that came too fast to be told one by one."
        )
      ]
    },
    DiskFailed: {
      doc: "A disk did not do what the guest asked of it: the guest was told of an I/O error.",
      fields: [
        disk,
        field("operation", "DiskOperation", "What was asked."),
        field("offset", "natural", "First byte of the disk that was not done; 0 for a flush."),
        field("bytes", "natural", "How many bytes; 0 for a flush."),
        field("reason", "DiskFailure", "Why."),
        field("errno", "u32?", "Error number of the host's operating system; null if it said none."),
        field(
          "message",
          "text",
          "What was expected and found, for people; nothing is to be decided by it.",
          "textBytes"
        )
      ]
    },
    DiskAttached: {
      doc: "The host put a disk into a slot: recorded, so that it can be put there again.",
      fields: [
        disk,
        field("slot", "u32", "Number of the slot."),
        field("access", "DiskAccess", "What becomes of what the guest writes."),
        field("sizeBytes", "natural", "Its size."),
        field("source", "text", "Path of its file on the host; empty if it has none.", "textBytes")
      ]
    },
    ConnectionOpened: {
      doc: "A TCP connection of the guest's is made: both sides have agreed to it.",
      fields: [...connection, field("open", "natural", "How many are open now.")]
    },
    RequestServed: {
      doc: "The guest has answered on a connection that somebody else began: it was told something, has said something, and either said its last or is told more.",
      fields: [
        ...connection.slice(1),
        field("requestBytes", "natural", "Bytes that it was told."),
        field("answerBytes", "natural", "Bytes that it has answered with.")
      ]
    },
    ConnectionClosed: {
      doc: "A connection of `ConnectionOpened` is over: both sides have said their last, or one has reset it.",
      fields: [
        ...connection,
        field("bytesIn", "natural", "Bytes that the guest was told."),
        field("bytesOut", "natural", "Bytes that the guest has said."),
        field("end", "ConnectionEnd", "How it ended."),
        field("open", "natural", "How many are open now.")
      ]
    },
    TrafficPassed: {
      doc: "Bytes went over the guest's connections since the sample before; the samples are those of `PagesDirtied`.",
      fields: [
        field("bytesIn", "natural", "Bytes that the guest was told."),
        field("bytesOut", "natural", "Bytes that the guest has said."),
        field("overNanos", "natural", "Guest time between two samples.")
      ]
    },
    AgentChannelOpened: {
      doc: "The agent has opened its channel, the port of a virtio console: both sides talk over it from here on.",
      frame: 0x16,
      fields: []
    }
  },

  frequent: [
    "SerialLine",
    "GuestIdle",
    "GuestBusy",
    "PagesDirtied",
    "HeartbeatTick",
    "IoStarted",
    "IoSettled",
    "Custom"
  ],

  hostFrames: {
    Go: { doc: "Ends the hold before the workload executes.", frame: 0x81, fields: [] },
    Exec: {
      doc: "Executes a command.",
      frame: 0x82,
      structure: "Exec",
      fields: [
        field("id", "u32", "Names the command in what follows."),
        field("argv", "texts", "Program and arguments."),
        field("env", "texts", "`KEY=VALUE`."),
        field("cwd", "text", "Working directory; empty: `/`."),
        field("stdin", "bytes", "First bytes of standard input."),
        field("closeStdin", "bool", "Whether standard input ends after them."),
        field(
          "outputBytes",
          "u64",
          "Bytes of output, of both streams, that it may say before `ExecWindow`; more waits where the command writes it."
        ),
        field(
          "user",
          "text",
          "Whom it runs as: `user` or `user:group`, by name or number; empty: as the agent, uid 0."
        ),
        field("columns", "u16", "Columns of its terminal; 0: it has none, and pipes instead."),
        field("rows", "u16", "Rows of its terminal."),
        field("isFileService", "bool", "Whether it is the agent's own program for files, whose arguments `argv` are.")
      ]
    },
    ExecStdin: {
      doc: "More standard input for a command.",
      frame: 0x83,
      fields: [
        field("id", "u32", "The command."),
        field("data", "bytes", "More bytes."),
        field("close", "bool", "Whether standard input ends after them.")
      ]
    },
    ExecKill: {
      doc: "Sends a signal to a command.",
      frame: 0x84,
      fields: [field("id", "u32", "The command."), field("signal", "i32", "The signal's number.")]
    },
    ExecWindow: {
      doc: "Lets a command say more output.",
      frame: 0x8b,
      fields: [field("id", "u32", "The command."), field("bytes", "u64", "Further bytes, of both streams together.")]
    },
    ExecResize: {
      doc: "Gives a command's terminal another size.",
      frame: 0x8c,
      fields: [field("id", "u32", "The command."), field("columns", "u16", "Columns."), field("rows", "u16", "Rows.")]
    },
    Freeze: {
      doc: "Freezes the workload, syncs, drains.",
      frame: 0x85,
      fields: [field("token", "u32", "Answered by `AgentFrozen` with the same token.")]
    },
    Thaw: {
      doc: "Lets the workload go on.",
      frame: 0x86,
      fields: [field("token", "u32", "Answered by `AgentThawed` with the same token.")]
    },
    ApplyIdentity: {
      doc: "Gives the guest a new identity, what makes a clone somebody else.",
      frame: 0x87,
      structure: "Identity",
      fields: [
        field("token", "u32", "Answered by `IdentityApplied` with the same token."),
        field("entropy", "bytes", "For the kernel's random source; at least 32 bytes."),
        field("realtimeNanos", "u64", "Wall clock in nanoseconds since 1970; 0 leaves it."),
        field("hostname", "text", "Empty leaves it."),
        field("machineId", "text", "32 hexadecimal digits; empty leaves it."),
        field("env", "texts", "`KEY=VALUE` for what is started afterwards."),
        field("thaw", "bool", "Whether the frozen workload goes on afterwards."),
        field("hookTimeoutNanos", "u64", "Guest time that the configured hook may take; 0: as configured."),
        field("signal", "i32", "Sent to the workload once it goes on; 0: as configured.")
      ]
    },
    PowerOff: { doc: "Switches the guest off.", frame: 0x88, fields: [] },
    SetClock: {
      doc: "Sets the guest's wall clock, and nothing else of its identity.",
      frame: 0x89,
      fields: [field("realtimeNanos", "u64", "Wall clock in nanoseconds since 1970.")]
    },
    StartWorkload: {
      doc: "Gives a guest that has no workload its root and its workload.",
      frame: 0x8a,
      fields: [
        field("token", "u32", "A refusal carries it; else `WorkloadPreExec` or `WorkloadFailed` follows."),
        field("settings", "texts", "`key=value`, as in the agent's configuration.")
      ]
    },
    ChannelFollows: {
      doc: "The machine's, not the host's: the last frame on the control port; the next ones come over the channel that the agent has opened.",
      frame: 0x8d,
      fields: []
    }
  }
}
