import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { assert } from '../../base/errors.ts'

/** A program of this machine that can give a filter of system calls to the one that it becomes. */
export type FilterLoader = 'perl' | 'python3'

/** How one kind of program numbers the calls `add_key`, `request_key` and `keyctl`: one after the other. */
interface CallNumbers {
  /** `AUDIT_ARCH_…` of linux/audit.h. */
  readonly kind: number
  readonly first: number
  readonly last: number
}

interface Machine {
  /** The call `prctl`, of programs of the machine's own kind. */
  readonly prctl: number
  /** All kinds of programs that its kernel may run. */
  readonly keys: readonly CallNumbers[]
}

const machines: Readonly<Partial<Record<string, Machine>>> = {
  x64: {
    prctl: 157,
    keys: [
      { kind: 0xc000003e, first: 248, last: 250 },
      { kind: 0x40000003, first: 286, last: 288 },
    ],
  },
  arm64: {
    prctl: 167,
    keys: [
      { kind: 0xc00000b7, first: 217, last: 219 },
      { kind: 0x40000028, first: 309, last: 311 },
    ],
  },
}

// Of linux/bpf_common.h and linux/seccomp.h.
const loadWord = 0x20
const and = 0x54
const jumpIfEqual = 0x15
const jumpIfGreater = 0x25
const jumpIfAtLeast = 0x35
const answer = 0x06
const allowed = 0x7fff0000
const noSuchCall = 0x00050000 + 38
const numberAt = 0
const kindAt = 4
/** Numbered alike for all kinds of programs. */
const clone3 = 435
/** Without the bit that sets x32 apart from x86-64, which share a kind. */
const numberMask = 0xbfffffff

/**
 * A program for the kernel (`struct sock_filter[]`) by which some calls fail as on a kernel without them
 * (ENOSYS): those for keys, since keyrings are the machine's and not a namespace's, so that one pipeline would
 * find there what another left, and root's keys; and `clone3`, by which root's code could be born outside of the
 * control group that bounds it (a mount that is read-only does not keep it from that), and in the place of which C
 * libraries use `clone`. For a kind of program that is not known, every call fails.
 */
export function callFilter({ keys }: Machine): Buffer {
  const instructions = [[loadWord, 0, 0, kindAt]]
  for (const { kind, first, last } of keys) {
    instructions.push(
      [jumpIfEqual, 0, 7, kind],
      [loadWord, 0, 0, numberAt],
      [and, 0, 0, numberMask],
      [jumpIfEqual, 3, 0, clone3],
      [jumpIfAtLeast, 0, 1, first],
      [jumpIfGreater, 0, 1, last],
      [answer, 0, 0, allowed],
      [answer, 0, 0, noSuchCall],
    )
  }
  instructions.push([answer, 0, 0, noSuchCall])
  const bytes = Buffer.alloc(instructions.length * 8)
  for (const [index, [code = 0, ifTrue = 0, ifFalse = 0, value = 0]] of instructions.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(ifTrue, index * 8 + 2)
    bytes.writeUInt8(ifFalse, index * 8 + 3)
    bytes.writeUInt32LE(value, index * 8 + 4)
  }
  return bytes
}

/** For the machine that this process runs on, if it is of a known kind. */
export function machineHere(): Machine | undefined {
  return machines[process.arch]
}

// They get the filter in hex and the number of prctl; 22 is PR_SET_SECCOMP, 2 SECCOMP_MODE_FILTER.
const scripts: Readonly<Record<FilterLoader, readonly [string, string]>> = {
  perl: [
    '-e',
    'my ($filter, $prctl) = (pack("H*", shift), shift); ' +
      'my $program = pack("S x!8 P", length($filter) / 8, $filter); ' +
      'syscall($prctl + 0, 22, 2, $program, 0, 0) == 0 or die "no filter of system calls: $!\\n"; ' +
      'exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\\n"',
  ],
  python3: [
    '-Ic',
    'import ctypes, os, struct, sys; filter = bytes.fromhex(sys.argv[1]); ' +
      'held = ctypes.create_string_buffer(filter, len(filter)); ' +
      'program = struct.pack("@HP", len(filter) // 8, ctypes.addressof(held)); ' +
      'number = ctypes.c_long; call = ctypes.CDLL(None, use_errno=True).syscall; ' +
      'call(number(int(sys.argv[2])), number(22), number(2), program, number(0), number(0)) == 0 or ' +
      'sys.exit("no filter of system calls: " + os.strerror(ctypes.get_errno())); ' +
      'os.execvp(sys.argv[3], sys.argv[3:])',
  ],
}

/** Those that are in a directory of `path`, the quickest first. */
export function filterLoaders(path: string): readonly FilterLoader[] {
  if (machineHere() === undefined) return []
  const directories = path.split(':')
  return (['perl', 'python3'] as const).filter((loader) =>
    directories.some((directory) => existsSync(join(directory, loader))),
  )
}

/**
 * The beginning of a command line that filters the calls of what comes after it, and of all that it starts;
 * empty without a loader. Whoever runs it may administer a user namespace of its own.
 */
export function filteredBy(loader: FilterLoader | undefined): readonly string[] {
  if (loader === undefined) return []
  const machine = machineHere()
  assert(machine !== undefined, 'a loader was found for a known machine')
  return [loader, ...scripts[loader], callFilter(machine).toString('hex'), String(machine.prctl)]
}
