import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { assert } from '../../base/errors.ts'

/** A program of this machine that can give a filter of system calls to the one that it becomes. */
export type FilterLoader = 'perl' | 'python3'

/** How one kind of program numbers its calls. */
interface CallNumbers {
  /** `AUDIT_ARCH_…` of linux/audit.h. */
  readonly kind: number
  /** `add_key`, `request_key` and `keyctl`, one after the other. */
  readonly firstKey: number
  readonly lastKey: number
  /** `fcntl`, and `fcntl64` where there is one. */
  readonly fcntl: readonly number[]
  readonly prlimit64: number
  /** `clone` and `unshare`, whose first argument says which namespaces are to be new. */
  readonly makers: readonly [clone: number, unshare: number]
  readonly setns: number
}

interface Machine {
  /** The call `prctl`, of programs of the machine's own kind. */
  readonly prctl: number
  /** All kinds of programs that its kernel may run. */
  readonly calls: readonly CallNumbers[]
}

const machines: Readonly<Partial<Record<string, Machine>>> = {
  x64: {
    prctl: 157,
    calls: [
      {
        kind: 0xc000003e,
        firstKey: 248,
        lastKey: 250,
        fcntl: [72],
        prlimit64: 302,
        makers: [56, 272],
        setns: 308,
      },
      {
        kind: 0x40000003,
        firstKey: 286,
        lastKey: 288,
        fcntl: [55, 221],
        prlimit64: 340,
        makers: [120, 310],
        setns: 346,
      },
    ],
  },
  arm64: {
    prctl: 167,
    calls: [
      {
        kind: 0xc00000b7,
        firstKey: 217,
        lastKey: 219,
        fcntl: [25],
        prlimit64: 261,
        makers: [220, 97],
        setns: 268,
      },
      {
        kind: 0x40000028,
        firstKey: 309,
        lastKey: 311,
        fcntl: [55, 221],
        prlimit64: 369,
        makers: [120, 337],
        setns: 375,
      },
    ],
  },
}

// Of linux/bpf_common.h and linux/seccomp.h.
const loadWord = 0x20
const and = 0x54
const jumpIfEqual = 0x15
const jumpIfGreater = 0x25
const jumpIfAtLeast = 0x35
const jumpIfAnyBit = 0x45
const answer = 0x06
const allowed = 0x7fff0000
const refusal = 0x00050000
// Of linux/errno.h.
const notPermitted = 1
const invalid = 22
const noSuchCall = 38
// Of `struct seccomp_data`; of arguments the lower halves, which are all that these calls look at.
const numberAt = 0
const kindAt = 4
const firstArgumentAt = 16
const secondArgumentAt = 24
/** Numbered alike for all kinds of programs. */
const clone3 = 435
/** Without the bit that sets x32 apart from x86-64, which share a kind. */
const numberMask = 0xbfffffff
/** `F_SETLEASE`, `F_NOTIFY` and `F_SETDELEG` of linux/fcntl.h. */
const leases = [1024, 1026, 1040]
const keeper = 1
/** `CLONE_NEWUSER` of linux/sched.h. */
const newUserNamespace = 0x10000000

/** Code, how many to pass over if true, and if not, and the value. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number]

/**
 * A program for the kernel (`struct sock_filter[]`) by which some calls fail.
 *
 * As on a kernel without them (ENOSYS): those for keys, since keyrings are the machine's and not a namespace's, so
 * that one pipeline would find there what another left, and root's keys; and `clone3`, by which root's code could
 * be born outside of the control group that bounds it (a mount that is read-only does not keep it from that), and in
 * the place of which C libraries use `clone`. For a kind of program that is not known, every call fails.
 *
 * Besides, what holds up others: leases on files of the machine (EINVAL, as of file systems without), for which
 * whoever writes to them waits, and bounds of process 1, which ends the datums of the slot (EPERM).
 *
 * And user namespaces, new ones and those of others (EPERM). In its own, code that is mapped to nobody has all
 * rights while the kernel still takes it for its user: it could mount the machine's control groups, and lift its bounds.
 */
export function callFilter({ calls }: Machine): Buffer {
  const instructions = [
    load(kindAt),
    ...calls.flatMap((numbers) => whenEqual(numbers.kind, refusalsOf(numbers))),
    refuse(noSuchCall),
  ]
  const bytes = Buffer.alloc(instructions.length * 8)
  for (const [index, [code, ifTrue, ifFalse, value]] of instructions.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(ifTrue, index * 8 + 2)
    bytes.writeUInt8(ifFalse, index * 8 + 3)
    bytes.writeUInt32LE(value, index * 8 + 4)
  }
  return bytes
}

function refusalsOf(numbers: CallNumbers): readonly Instruction[] {
  const { firstKey, lastKey, fcntl, prlimit64, makers, setns } = numbers
  const asForLeases = [
    load(secondArgumentAt),
    ...leases.flatMap((lease) => whenEqual(lease, [refuse(invalid)])),
    allow,
  ]
  const asForKeeper = [load(firstArgumentAt), ...whenEqual(keeper, [refuse(notPermitted)]), allow]
  const asForMakers: readonly Instruction[] = [
    load(firstArgumentAt),
    [jumpIfAnyBit, 0, 1, newUserNamespace],
    refuse(notPermitted),
    allow,
  ]
  return [
    load(numberAt),
    [and, 0, 0, numberMask],
    ...makers.flatMap((number) => whenEqual(number, asForMakers)),
    ...whenEqual(setns, [refuse(notPermitted)]),
    ...whenEqual(clone3, [refuse(noSuchCall)]),
    [jumpIfAtLeast, 0, 2, firstKey],
    [jumpIfGreater, 1, 0, lastKey],
    refuse(noSuchCall),
    ...fcntl.flatMap((number) => whenEqual(number, asForLeases)),
    ...whenEqual(prlimit64, asForKeeper),
    allow,
  ]
}

const allow: Instruction = [answer, 0, 0, allowed]

function refuse(errorNumber: number): Instruction {
  return [answer, 0, 0, refusal + errorNumber]
}

function load(at: number): Instruction {
  return [loadWord, 0, 0, at]
}

/** What is done with the value that was loaded; it ends with an answer. */
function whenEqual(value: number, block: readonly Instruction[]): readonly Instruction[] {
  return [[jumpIfEqual, 0, block.length, value], ...block]
}

/** For the machine that this process runs on, if it is of a known kind. */
export function machineHere(): Machine | undefined {
  return machines[process.arch]
}

// They get the filter in hex and the number of prctl; 22 is PR_SET_SECCOMP, 2 SECCOMP_MODE_FILTER. Before, where the
// kernel has it (Linux 6.12), they keep abstract Unix sockets of others out of reach, which belong to no directory:
// 444 is landlock_create_ruleset, for all machines, of a struct landlock_ruleset_attr that has nothing but
// LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET; 446 is landlock_restrict_self. Who may not do that may not filter, either.
const scripts: Readonly<Record<FilterLoader, readonly [string, string]>> = {
  perl: [
    '-e',
    'my ($filter, $prctl) = (pack("H*", shift), shift); ' +
      'my $scope = pack("Q3", 0, 0, 1); my $rules = syscall(444, $scope, length($scope), 0); ' +
      '$rules < 0 or syscall(446, $rules, 0); ' +
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
      'scope = struct.pack("3Q", 0, 0, 1); rules = call(number(444), scope, number(len(scope)), number(0)); ' +
      'rules < 0 or call(number(446), number(rules), number(0)); ' +
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
