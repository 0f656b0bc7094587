import { closeSync, openSync } from 'node:fs'
import { MountError, NoFuseError } from '../errors.ts'
import { mountType } from './mount-table.ts'
import { findProgram, runProgram } from './programs.ts'

const device = '/dev/fuse'
const otherWays = 'pachctl get-file -r copies files without a mount'

/** In the environment, when this program was started over with an open `/dev/fuse`: its number. */
export const deviceVariable = 'PACHYDERM_FUSE_DEVICE'

export interface MountRequest {
  readonly directory: string
  /** What the list of mounts shows it to be. */
  readonly source: string
}

/**
 * Mounts a file system on a directory, and returns the open device that it is served by.
 *
 * Root mounts it itself. Others need `fusermount`, which hands the device over in a way that only
 * another program can take; this program is then started over by it, and does not come back.
 */
export async function openDevice(request: MountRequest): Promise<number> {
  if (process.platform !== 'linux') {
    throw new NoFuseError(
      `mount needs FUSE as Linux has it, which ${process.platform} has not; use it in a Linux virtual machine, WSL 2 or a container; ${otherWays}`,
    )
  }
  const inherited = process.env[deviceVariable]
  if (inherited !== undefined) return Number(inherited)
  if (process.geteuid?.() === 0) return mountAsRoot(request)
  return startOver(request)
}

async function mountAsRoot({ directory, source }: MountRequest): Promise<number> {
  const opened = openFuse()
  try {
    const options =
      'fd=3,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,nosuid,nodev'
    const args = ['-i', '-t', mountType, '-o', options, '--', source, directory]
    const { succeeded, said } = await runProgram('mount', args, opened)
    if (!succeeded) {
      throw new MountError(
        `cannot mount: ${said}; in a container, give it --cap-add SYS_ADMIN and --device ${device}; ${otherWays}`,
      )
    }
    return opened
  } catch (error) {
    closeSync(opened)
    throw error
  }
}

function openFuse(): number {
  try {
    return openSync(device, 'r+')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new NoFuseError(
      code === 'ENOENT' || code === 'ENXIO' || code === 'ENODEV'
        ? `FUSE is missing here: there is no ${device}; load it with modprobe fuse, or give a container --device ${device} --cap-add SYS_ADMIN; ${otherWays}`
        : `${device} may not be used here (${code}); have root run chmod 666 ${device}, or give a container --device ${device} --cap-add SYS_ADMIN; ${otherWays}`,
      { cause: error },
    )
  }
}

/** Takes the device from fusermount, which passes it over a socket, and becomes pachctl again. */
const bridge = `
import array, os, socket, subprocess, sys
fusermount, options, directory = sys.argv[1:4]
program = sys.argv[4:]
ours, theirs = socket.socketpair()
environment = dict(os.environ, _FUSE_COMMFD=str(theirs.fileno()))
child = subprocess.Popen([fusermount, "-o", options, "--", directory], env=environment, pass_fds=[theirs.fileno()])
theirs.close()
_, passed, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
if child.wait() != 0 or not passed:
    sys.exit("cannot mount on " + directory + ": see above")
device = array.array("i", passed[0][2][:4])[0]
os.set_inheritable(device, True)
os.environ["${deviceVariable}"] = str(device)
os.execv(program[0], program)
`

function startOver({ directory, source }: MountRequest): never {
  closeSync(openFuse())
  const fusermount = findProgram('fusermount3', 'fusermount')
  const python = findProgram('python3')
  if (fusermount === undefined || python === undefined) {
    const missing = fusermount === undefined ? 'fusermount3 (Debian: fuse3)' : 'python3'
    throw new NoFuseError(
      `only root can mount here without ${missing}, which is not on PATH: install it, or run pachctl as root; ${otherWays}`,
    )
  }
  const options = `fsname=${source.replaceAll(/[,\\]/g, String.raw`\$&`)},subtype=pfs,default_permissions,nosuid,nodev`
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve?.(
    python,
    [python, '-c', bridge, fusermount, options, directory, ...program],
    definedOf(process.env),
  )
  throw new NoFuseError('this Node cannot start a program in its place; run pachctl as root')
}

function definedOf(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    ),
  )
}
