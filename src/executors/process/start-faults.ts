import { readdirSync } from 'node:fs'

import { exactSizeText } from '../../base/sizes.ts'
import { elfOf } from './elf.ts'
import { seenAt, seenOnPath, type SeenFile } from './seen-files.ts'

/** An interpreter may be a script itself. */
const interpretersMax = 4
/** Kernels read no more of a first line. */
const firstLineBytesMax = 256
const executable = 0o111
const cannotExecute = 126
const notFound = 127
/** Some shells take what the kernel does not know for a script. */
const syntaxError = 2
/** What the kernel does to a program of which a part is missing: SIGBUS and SIGSEGV. */
const crashes = [135, 139]
/** May be how it ends when a program cannot be started. */
const startCodes = new Set([syntaxError, cannotExecute, notFound, ...crashes])

const ownMachine = { x64: 'x86-64', arm64: 'aarch64' }[process.arch as string]
/** What a machine runs besides, unless its kernel was made without. */
const narrowMachines: ReadonlySet<string> = new Set(['x86 (32 bits)', 'arm (32 bits)'])

/** How a program is looked at: as whom, and after what. */
export interface StartView {
  /** The root directory of the process that was to start it, as this process finds it. */
  readonly root: string
  /** Where it looks for programs. */
  readonly path: string
  readonly exitCode: number
}

/** Whether files are looked at for `unstartedText`. */
export function mayBeUnstarted(
  _program: string,
  complaint: string | undefined,
  { exitCode }: StartView,
): boolean {
  return startCodes.has(exitCode) && (exitCode !== syntaxError || complaint !== undefined)
}

/**
 * Why code may have ended with such a code, in words for people: its program, or the one that `complaint` names,
 * which is the file that a shell of its own could not start. Nothing is looked at for other codes.
 */
export function unstartedText(
  program: string,
  complaint: string | undefined,
  view: StartView,
): string | undefined {
  if (!mayBeUnstarted(program, complaint, view)) return undefined
  const files = [...(view.exitCode === syntaxError ? [] : [program]), complaint]
  for (const file of files) {
    const fault = file === undefined ? undefined : startFault(file, view)
    if (fault !== undefined) return `${JSON.stringify(file)} cannot be started: ${fault}`
  }
  return undefined
}

/**
 * Why `program` could not be started, and what to do, in words for people, and which file it is; undefined
 * where its file tells nothing.
 */
export function startFault(program: string, view: StartView): string | undefined {
  const file = program.includes('/') ? program : seenOnPath(view.root, program, view.path)
  if (file === undefined) return undefined
  const fault = fileFault(file, view, 0)
  return fault === undefined || file === program ? fault : `${file}: ${fault}`
}

function fileFault(file: string, view: StartView, depth: number): string | undefined {
  const seen = seenAt(view.root, file)
  switch (seen.kind) {
    case 'missing':
    case 'unknown':
      return undefined
    case 'directory':
      return 'it is a directory; name the program in it'
    case 'pipe':
      return 'it is a named pipe, as the files of lazy inputs are; leave "lazy" out for what is a program'
    case 'other':
      return 'it is no file'
    case 'file':
      return modeFault(file, seen) ?? beginningFault(seen, view, depth)
  }
}

function modeFault(file: string, { mode }: SeenFile): string | undefined {
  if ((mode & executable) !== 0) return undefined
  const advice = file.startsWith('/pfs/')
    ? `files of repos have none: have its interpreter start it, such as ["sh", "${file}"], or copy it to /tmp and "chmod +x" it there`
    : 'chmod +x it'
  return `it has no permission to be executed (its mode is ${(mode & 0o7777).toString(8)}); ${advice}`
}

function beginningFault(seen: SeenFile, view: StartView, depth: number): string | undefined {
  const { beginning } = seen
  if (beginning.toString('latin1', 0, 2) === '#!') return scriptFault(beginning, view, depth)
  const isElf = beginning.toString('latin1', 0, 4) === '\u007fELF'
  if (isElf) return elfFault(seen, view)
  // What else the kernel does not know, shells take for a script.
  return foreignFault(beginning)
}

function scriptFault(beginning: Buffer, view: StartView, depth: number): string | undefined {
  if (crashes.includes(view.exitCode)) return undefined
  const [line = ''] = beginning.toString('utf8', 2, firstLineBytesMax).split('\n')
  const [interpreter = '', argument = ''] = line.trim().split(/[ \t]+/)
  if (interpreter === '') return undefined
  if (line.endsWith('\r')) {
    return `its first line ends with a carriage return, as lines of Windows do, which counts as part of the interpreter's name; convert it: dos2unix, or sed -i 's/\\r$//'`
  }
  const asked = 'its first line asks for the interpreter'
  if (seenAt(view.root, interpreter).kind === 'missing') {
    return `${asked} ${JSON.stringify(interpreter)}, which is not there; install it, or correct that line`
  }
  const isLooking = /(?:^|\/)env$/.test(interpreter) && /^[^-=/]+$/.test(argument)
  if (isLooking && seenOnPath(view.root, argument, view.path) === undefined) {
    return `${asked} ${JSON.stringify(argument)}, which is in no directory of PATH; install it, or correct that line`
  }
  if (depth === interpretersMax) return undefined
  const fault = fileFault(interpreter, view, depth + 1)
  return fault === undefined
    ? undefined
    : `${asked} ${JSON.stringify(interpreter)}, and of that: ${fault}`
}

function elfFault(
  { beginning, sizeBytes }: SeenFile,
  { root, exitCode }: StartView,
): string | undefined {
  const elf = elfOf(beginning)
  if (elf === undefined) return undefined
  if (sizeBytes < elf.sizeBytesMin) {
    return `it is cut off: it has ${exactSizeText(sizeBytes)}, and its beginning tells of ${exactSizeText(elf.sizeBytesMin)} or more; copy it again`
  }
  const { machine, loader } = elf
  const isForeign = ownMachine !== undefined && machine !== ownMachine
  if (isForeign && !crashes.includes(exitCode) && !mayRunForeign()) {
    const how = `it is a program for ${machine}, `
    if (!narrowMachines.has(machine)) {
      return `${how}and this machine is ${ownMachine}; get or build the one for ${ownMachine}`
    }
    if (exitCode === cannotExecute) {
      return `${how}which this machine's kernel does not run; get the one for ${ownMachine}`
    }
  }
  if (exitCode !== notFound || loader === undefined || seenAt(root, loader).kind !== 'missing') {
    return undefined
  }
  return `it needs the loader ${JSON.stringify(loader)}, which is not there: ${loaderAdvice(loader)}`
}

function loaderAdvice(loader: string): string {
  if (loader.includes('ld-musl')) {
    return 'it was built for Alpine or another system with musl; get the one for glibc, build it here, or link it statically'
  }
  if (loader.startsWith('/nix/') || loader.startsWith('/gnu/')) {
    return 'it was built for NixOS or Guix; run it where that is installed, or link it statically'
  }
  if (/\/ld-linux|\/ld64|\/ld\.so/.test(loader)) {
    return 'it was built for a system with glibc, such as Debian, and for this kind of machine, or there is none here (Alpine has none); build it here, use an image with glibc, or link it statically'
  }
  return 'build it here, or link it statically'
}

function foreignFault(beginning: Buffer): string | undefined {
  const [a, b, c, d] = beginning
  if (a === 0x4d && b === 0x5a) return 'it is a program for Windows, and this machine runs Linux'
  const isMac = a === 0xcf && b === 0xfa && c === 0xed && d === 0xfe
  return isMac ? 'it is a program for macOS, and this machine runs Linux' : undefined
}

/** Whether the kernel was told what to start programs of other machines with. */
function mayRunForeign(): boolean {
  try {
    return readdirSync('/proc/sys/fs/binfmt_misc').some((name) => name.startsWith('qemu-'))
  } catch {
    return false
  }
}
