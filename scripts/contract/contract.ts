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
const message = field("message", "text", "The error as text; no code may depend on it.", "textBytes")
const step = field("step", "text", "The failed step.", "textBytes")
const errno = field("errno", "i32", "Linux error number.")
const endReason = field("reason", "u32", "The firmware interface's reason code.")
const exit = field("status", "status", "Its end: `code` or `signal`; the other is null.")
const device = field("device", "text", "Name of the device.")
const disk = field("disk", "text", "Name of the disk.", "textBytes")
const port = field("port", "u32", "Number of the serial port; 0 is the console.")
const path = field("path", "text", "Path of the socket; a leading `@` means the abstract name space.", "textBytes")
const listener = [
  field("protocol", "Protocol", "Transport protocol."),
  field("address", "text", "Address that it listens on.", "textBytes"),
  field("port", "u16", "Port number.")
]

const connection = [
  field("direction", "ConnectionDirection", "The side that opened it."),
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
      doc: "Standard input of a command that may be on its way: sent and not yet confirmed as taken; more is refused"
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
      doc: "Bytes of input and output of one command after which everything goes over the agent's channel; the first `ExecInputTaken` comes there"
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
      doc: "Destination of injected host input.",
      values: {
        control: [0, "A frame on the agent's control port."],
        serial: [1, "Bytes on a serial port."],
        renewal: [2, "A renewal of the machine's randomness, generation and clock."],
        withheld: [
          3,
          "A frame on the agent's control port that holds a secret: its place is recorded, its bytes are not. A replay ends here unless the secret is supplied."
        ],
        network: [4, "Ethernet frames on the network interface, each with its length less 14, u16, before it."]
      }
    },
    NetworkProtocol: {
      doc: "Protocol of a guest's packet, by its number in IP.",
      values: {
        other: [0, "Any other protocol."],
        icmp: [1, "Internet control message protocol."],
        tcp: [6, "Transmission control protocol."],
        udp: [17, "User datagram protocol."]
      }
    },
    ConnectionDirection: {
      doc: "The side that opened a connection.",
      values: { inward: [0, "A peer outside the guest."], outward: [1, "The guest."] }
    },
    ConnectionEnd: {
      doc: "How a connection ended.",
      values: { closed: [0, "Both sides have closed it."], reset: [1, "One side has reset it."] }
    },
    NetworkRefusal: {
      doc: "Why the guest cannot reach an address.",
      values: {
        NotAllowed: [0, "The policy does not allow it."],
        TooMany: [1, "The machine's limit of connections or of traffic is reached."],
        Unreachable: [2, "It is allowed, and the host could not connect: refused, no route, or no answer."]
      }
    },
    DiskOperation: {
      doc: "A guest's operation on a disk.",
      values: {
        read: [0, "Reads bytes."],
        write: [1, "Writes bytes."],
        flush: [2, "Flushes written data to the storage."],
        zero: [3, "Zeroes or discards bytes."]
      }
    },
    DiskFailure: {
      doc: "Why a disk failed an operation.",
      values: {
        Refused: [0, "The host's operating system refused; `errno` says why."],
        Shortened: [1, "The disk's file has become shorter than it was."],
        Changed: [2, "The disk's file has changed there."],
        NoMemory: [3, "The host's memory for guests is used up."],
        Broken: [4, "An earlier flush failed, so written data may be lost."],
        Unverified: [5, "The snapshot's data of the disk differs from the captured data."]
      }
    },
    DiskAccess: {
      doc: "Destination of a guest's writes to a disk.",
      values: {
        read: [0, "Writes are refused."],
        copyOnWrite: [1, "Writes stay in the machine, over a file."],
        scratch: [2, "Writes stay in the machine, over zeros."],
        volume: [3, "Writes go to the file."]
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
        InputFull: [12, "The command has not read its earlier input."],
        SignalInvalid: [13, "There is no such signal, or it cannot be sent."],
        StreamsFailed: [14, "The command's streams cannot be served."],
        FreezeFailed: [15, "The workload does not freeze."],
        ThawFailed: [16, "The workload cannot be thawed."],
        IdentityInvalid: [17, "A part of the new identity is invalid; nothing has changed."],
        EntropyFailed: [18, "The random source cannot be reseeded."],
        NameFailed: [19, "The host name or machine id cannot be set."],
        EnvironmentFailed: [20, "The environment cannot be kept."],
        ClockFailed: [21, "The clock cannot be set."],
        HookFailed: [22, "The identity hook ended with a failure, or cannot be started."],
        HookTimedOut: [23, "The identity hook did not end in time."],
        ListenerSeccompBusy: [
          24,
          "A filter of the workload takes the notifications that the agent uses to notice listeners."
        ],
        NoSpace: [25, "A file system of the guest is full."],
        NoMemory: [26, "The guest has no memory for it."],
        EventNameInvalid: [27, "A custom event's name is not 1 to 64 of `A-Z a-z 0-9 . _ : / -`, or begins with `-`."],
        EventPayloadInvalid: [28, "A custom event's payload is not JSON within the limits."],
        PowerOffFailed: [29, "The machine does not power off."],
        Failed: [30, "The guest's kernel refused an operation; the message names it."],
        WorkloadPresent: [31, "The guest has a workload already."],
        WorkloadInvalid: [32, "A setting of the workload is invalid; nothing has changed."],
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
      doc: "The workload is about to be executed; it does not run before the hold ends.",
      frame: 0x03,
      fields: [
        field("argv", "texts", "Program and arguments."),
        {
          ...field("holdNanos", "natural?", "Guest time until it is executed; null: held until the host releases it."),
          was: 100_000_000
        }
      ]
    },
    ListenerBound: {
      doc: "The workload is reachable at an address now: reported once until `ListenerClosed`, however many sockets have it.",
      frame: 0x04,
      fields: listener
    },
    WorkloadParked: {
      doc: "The workload's main process succeeded and left others, none of which listens.",
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
      doc: "Pages were written since the previous sample.",
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
    AgentThawed: { doc: "The workload continues.", frame: 0x09, fields: [token] },
    IdentityApplied: { doc: "The guest has its new identity.", frame: 0x0a, fields: [token] },
    AgentRejected: {
      doc: "A frame was refused: by the agent, or one of the agent's by the machine.",
      frame: 0x10,
      version: 3,
      fields: [
        field("request", "FrameName", "The refused frame."),
        field("id", "u32?", "Command or token of the request; null if it has none, or could not be read."),
        field("reason", "RejectReason", "The reason."),
        field("message", "text", "The same as text; no code may depend on it.", "textBytes")
      ]
    },
    ExecStarted: {
      doc: "A command runs.",
      frame: 0x0b,
      fields: [execId, field("pid", "u32", "Its process id in the guest.")]
    },
    ExecOutput: {
      doc: "A command has written output.",
      frame: 0x0c,
      fields: [execId, field("stream", "OutputStream", "The stream."), field("data", "bytes", "The bytes.")]
    },
    ExecExited: { doc: "A command has ended.", frame: 0x0d, fields: [execId, exit] },
    ExecFailed: {
      doc: "A command could not be started.",
      frame: 0x0e,
      version: 4,
      fields: [execId, step, errno, message]
    },
    HostInput: {
      doc: "Input from the host, recorded so that a replay can repeat it.",
      fields: [
        field("kind", "InputKind", "Its destination."),
        field("port", "u32", "Number of the serial port."),
        field("data", "bytes", "The bytes.")
      ]
    },
    GuestPanicked: {
      doc: "The guest's kernel has panicked.",
      fields: [field("message", "text", "The panic message.")]
    },
    GuestHalted: { doc: "The guest has switched itself off.", fields: [endReason] },
    GuestReset: { doc: "The guest has reset itself.", fields: [endReason] },
    EngineFault: { doc: "The engine cannot continue.", fields: [field("message", "text", "The reason.")] },
    Custom: {
      doc: "An event that the workload defines, sent with `stillpoint-emit`.",
      frame: 0x0f,
      fields: [
        field("name", "text", "Its name.", "eventNameBytes"),
        field("payload", "json", "Its payload.", "payloadBytes")
      ]
    },
    ListenerClosed: {
      doc: "The last socket with an address of `ListenerBound` is gone: its last descriptor was closed, or it was shut down.",
      frame: 0x11,
      fields: listener
    },
    UnixListenerBound: {
      doc: "A stream or seqpacket socket of the workload accepts connections in the Unix domain; as `ListenerBound`.",
      frame: 0x12,
      fields: [path]
    },
    UnixListenerClosed: {
      doc: "The last socket with a path of `UnixListenerBound` is gone; as `ListenerClosed`.",
      frame: 0x13,
      fields: [path]
    },
    EventsDropped: {
      version: 3,
      doc: "The guest exceeded a quota; this many events of a kind were dropped.",
      fields: [field("kind", "kind", "The dropped kind."), field("count", "natural", "Number of dropped events.")]
    },
    SerialText: {
      doc: "Console text without a line's end, such as a prompt. Its whole line follows once it ends.",
      fields: [port, field("text", "text", "The text since the last line's end.")]
    },
    ExecInputTaken: {
      doc: "A command has taken, or will never take, more of its standard input: the host may send as many bytes again.",
      frame: 0x14,
      fields: [execId, field("bytes", "natural", "Bytes since the previous event.")]
    },
    ExecOutputHeld: {
      doc: "A command has used up its output window: further output waits until the window is opened again.",
      frame: 0x15,
      fields: [execId]
    },
    NetworkRefused: {
      doc: "The guest's traffic to an outside address was refused.",
      fields: [
        field("protocol", "NetworkProtocol", "The protocol."),
        field("address", "text", "The address."),
        field("port", "u16", "The port; 0 if the protocol has none."),
        field("reason", "NetworkRefusal", "The reason."),
        field(
          "count",
          "natural",
          "Number of refusals: this one, and earlier ones that came too fast to be reported one by one."
        )
      ]
    },
    DiskFailed: {
      doc: "A disk failed an operation: the guest got an I/O error.",
      fields: [
        disk,
        field("operation", "DiskOperation", "The operation."),
        field("offset", "natural", "First byte of the disk that failed; 0 for a flush."),
        field("bytes", "natural", "Number of bytes; 0 for a flush."),
        field("reason", "DiskFailure", "The reason."),
        field("errno", "u32?", "Error number of the host's operating system; null if there is none."),
        field("message", "text", "The expected and the found value, as text; no code may depend on it.", "textBytes")
      ]
    },
    DiskAttached: {
      doc: "The host attached a disk to a slot; recorded so that a replay can repeat it.",
      fields: [
        disk,
        field("slot", "u32", "Number of the slot."),
        field("access", "DiskAccess", "Destination of the guest's writes."),
        field("sizeBytes", "natural", "Its size."),
        field("source", "text", "Path of its file on the host; empty if it has none.", "textBytes")
      ]
    },
    ConnectionOpened: {
      doc: "A TCP connection of the guest was established.",
      fields: [...connection, field("open", "natural", "Number of open connections.")]
    },
    RequestServed: {
      doc: "The guest has answered a request on a connection from outside: it received data, sent data, and then closed its side or received more.",
      fields: [
        ...connection.slice(1),
        field("requestBytes", "natural", "Bytes of the request."),
        field("answerBytes", "natural", "Bytes of the answer.")
      ]
    },
    ConnectionClosed: {
      doc: "A connection of `ConnectionOpened` has ended: both sides have closed it, or one has reset it.",
      fields: [
        ...connection,
        field("bytesIn", "natural", "Bytes that the guest received."),
        field("bytesOut", "natural", "Bytes that the guest sent."),
        field("end", "ConnectionEnd", "How it ended."),
        field("open", "natural", "Number of open connections.")
      ]
    },
    TrafficPassed: {
      doc: "Bytes passed over the guest's connections since the previous sample; the samples are those of `PagesDirtied`.",
      fields: [
        field("bytesIn", "natural", "Bytes that the guest received."),
        field("bytesOut", "natural", "Bytes that the guest sent."),
        field("overNanos", "natural", "Guest time between the two samples.")
      ]
    },
    AgentChannelOpened: {
      doc: "The agent has opened its channel, the port of a virtio console, which both sides use from here on.",
      frame: 0x16,
      fields: []
    },
    EngineChosen: {
      doc: "The machine was made on an engine: the first event of a boot.",
      fields: [
        field("engine", "text", "Its name."),
        field("requested", "text", "What was asked for: a name, or `auto`."),
        field("reason", "text", "Why it is this engine.", "textBytes")
      ]
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
        field("id", "u32", "Identifies the command in later frames."),
        field("argv", "texts", "Program and arguments."),
        field("env", "texts", "`KEY=VALUE`."),
        field("cwd", "text", "Working directory; empty: `/`."),
        field("stdin", "bytes", "First bytes of standard input."),
        field("closeStdin", "bool", "Whether standard input ends after them."),
        field(
          "outputBytes",
          "u64",
          "Output window in bytes, both streams together; further output waits for `ExecWindow`."
        ),
        field("user", "text", "Its user: `user` or `user:group`, by name or number; empty: as the agent, uid 0."),
        field("columns", "u16", "Columns of its terminal; 0: it has none, and pipes instead."),
        field("rows", "u16", "Rows of its terminal."),
        field(
          "isFileService",
          "bool",
          "Whether it is the agent's own program for file operations, with the arguments `argv`."
        )
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
      doc: "Opens a command's output window.",
      frame: 0x8b,
      fields: [field("id", "u32", "The command."), field("bytes", "u64", "Further bytes, of both streams together.")]
    },
    ExecResize: {
      doc: "Resizes a command's terminal.",
      frame: 0x8c,
      fields: [field("id", "u32", "The command."), field("columns", "u16", "Columns."), field("rows", "u16", "Rows.")]
    },
    Freeze: {
      doc: "Freezes the workload, syncs, drains.",
      frame: 0x85,
      fields: [field("token", "u32", "Answered by `AgentFrozen` with the same token.")]
    },
    Thaw: {
      doc: "Continues the workload.",
      frame: 0x86,
      fields: [field("token", "u32", "Answered by `AgentThawed` with the same token.")]
    },
    ApplyIdentity: {
      doc: "Gives the guest a new identity, which makes a clone distinct from others.",
      frame: 0x87,
      structure: "Identity",
      fields: [
        field("token", "u32", "Answered by `IdentityApplied` with the same token."),
        field("entropy", "bytes", "For the kernel's random source; at least 32 bytes."),
        field("realtimeNanos", "u64", "Wall clock in nanoseconds since 1970; 0 leaves it."),
        field("hostname", "text", "Empty leaves it."),
        field("machineId", "text", "32 hexadecimal digits; empty leaves it."),
        field("env", "texts", "`KEY=VALUE` for programs that start afterwards."),
        field("thaw", "bool", "Whether the frozen workload continues afterwards."),
        field("hookTimeoutNanos", "u64", "Maximum guest time of the configured hook; 0: as configured."),
        field("signal", "i32", "Signal for the workload when it continues; 0: as configured.")
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
        field("token", "u32", "A refusal carries it; otherwise `WorkloadPreExec` or `WorkloadFailed` follows."),
        field("settings", "texts", "`key=value`, as in the agent's configuration.")
      ]
    },
    ChannelFollows: {
      doc: "Sent by the machine, not the host: the last frame on the control port; the next ones come over the agent's channel.",
      frame: 0x8d,
      fields: []
    },
    CallersLeft: {
      doc: "Sent by the machine, not the host: the callers of the commands so far are in another machine, since this one is a clone.",
      frame: 0x8e,
      fields: []
    }
  }
}
