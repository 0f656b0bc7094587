import { existsSync } from 'node:fs'

import type { ContainerCreateOptions, HostConfig } from 'dockerode'

import { FailedPreconditionError } from '../../base/errors.ts'
import type { Transform } from '../../pipelines/executor.ts'
import type { EngineFacts, EngineImage } from './engine.ts'
import type { ShownDirectory } from './secret-directories.ts'
import type { SlotFiles } from './slot-files.ts'

/** What is left of root's rights: enough to own files, as in the sandboxes of processes. Other users have none. */
const rootCapabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
]
/** Packages of some systems give rights to programs as they are installed. */
export const buildCapabilities: readonly string[] = [...rootCapabilities, 'SETFCAP']
const nanosPerCpu = 1e9
/** When the machine runs short, user code waits for the server, and is ended before it. */
const cpuShares = 512
const oomScore = 500
/** The least that engines take. */
const memoryBytesMin = 6 * 1024 * 1024
const podmanWithGpus = 5

/** Before how a place is mounted (`rw` or `ro`), and its path, among the answers that come first. */
export const mountPrefix = 'mount '

/**
 * Docker shows these read-only, those that are there: the first are those that it would by itself, and
 * the rest what it makes for each container. Podman passes over them, and so they are looked at.
 */
const readonlyPaths = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
  '/dev',
  '/etc/hosts',
  '/etc/hostname',
  '/etc/resolv.conf',
  '/sys/fs/cgroup',
]

// What the engine mounts is in no image and goes with the container: where user code can change it is
// told before any has run: of two mounts at one place the later counts. `/proc` keeps nothing. Below
// `/dev` and `/sys` all belongs to root, of whom some shells say that it may write anywhere.
//
// What comes first through the pipe are assignments of secret values, between two lines that nobody
// guesses: they are in no file, and in no description of the container.
const startScript = `exec </.pachyderm/nonces 3>/.pachyderm/answers
(while read -r _ _ _ _ at options _; do
  case $at in
    / | /proc | /proc/* | /pfs/out | /tmp | /var/tmp) continue ;;
    /dev | /dev/* | /sys/*) [ -w "$at" ] || continue ;;
    *) [ -d "$at" ] || [ -w "$at" ] || continue ;;
  esac
  echo "${mountPrefix}\${options%%,*} $at"
done) </proc/self/mountinfo >&3
text=
IFS= read -r end
while IFS= read -r line && [ "$line" != "$end" ]; do
  text="$text$line
"
done
eval "$text"
unset text line end
exec "$@"`

/** What every container is kept from; `options` are those of a guard of namespaces. */
export function guardedHost(options: readonly string[]): HostConfig {
  return {
    Init: false,
    LogConfig: { Type: 'none', Config: {} },
    CapDrop: ['ALL'],
    SecurityOpt: [
      'no-new-privileges',
      // Where SELinux guards files by labels, those of the slot have none that a container may read.
      ...(existsSync('/sys/fs/selinux/enforce') ? ['label=disable'] : []),
      ...options,
    ],
  }
}

export interface ContainerSettings {
  readonly image: string
  readonly usesImageShell: boolean
  readonly secretDirectories: readonly ShownDirectory[]
  readonly options: ContainerCreateOptions
}

export interface SettingsOptions {
  readonly transform: Transform
  readonly image: EngineImage
  readonly files: SlotFiles
  readonly facts: EngineFacts
  readonly labels: Readonly<Record<string, string>>
  readonly network: string
  /** The name in the control directory of a static busybox, in place of the image's shell. */
  readonly shell?: string | undefined
  /** Processes and threads of a datum at one time. */
  readonly processCountMax: number
  readonly secretDirectories: readonly ShownDirectory[]
  /** Of a guard of namespaces. */
  readonly guardOptions: readonly string[]
}

/**
 * How a slot's container is made. As in 1.5 the image's entry point and command are not used: the
 * transform's command takes their place. The image's user, environment and working directory are.
 *
 * @throws {FailedPreconditionError} when the engine cannot give what the transform asks for.
 */
export function containerSettings(options: SettingsOptions): ContainerSettings {
  const { transform, image, files, facts, labels, network, shell, secretDirectories } = options
  const mounts = [
    bind(files.control, '/.pachyderm', true),
    // The inputs; what is in `out` is another mount.
    bind(files.pfs, '/pfs', true),
    bind(files.out, '/pfs/out', false),
    bind(files.tmp, '/tmp', false),
    bind(files.varTmp, '/var/tmp', false),
    ...secretDirectories.map(({ source, target }) => bind(source, target, true)),
  ]
  requireMountable(mounts, facts)
  const start = startOf(shell)
  return {
    image: transform.image,
    usesImageShell: shell === undefined,
    secretDirectories,
    options: {
      Image: transform.image,
      Entrypoint: [...start, '-c', startScript, 'sh', ...start, '/.pachyderm/runner.sh'],
      Cmd: [...transform.command],
      Labels: { ...labels },
      Tty: false,
      OpenStdin: false,
      ...(image.hasHealthcheck && { Healthcheck: { Test: ['NONE'] } }),
      HostConfig: {
        ...guardedHost(options.guardOptions),
        AutoRemove: true,
        ReadonlyPaths: readonlyPaths,
        NetworkMode: network,
        Mounts: mounts,
        CapAdd: image.isForRoot ? rootCapabilities : [],
        OomScoreAdj: oomScore,
        ...limits(options),
        ...graphics(transform, facts),
      },
    },
  }
}

/** Podman writes mounts as lists with commas. @throws {FailedPreconditionError} with advice. */
function requireMountable(mounts: readonly HostMount[], facts: EngineFacts): void {
  if (!facts.isPodman) return
  for (const { Source: source, Target: target } of mounts) {
    if (source.includes(',')) {
      throw new FailedPreconditionError(
        `${facts.title} shows containers no directory with a comma in its path, as ${source} has: move the data directory to a path without (pachd --root), use Docker, or set "executor" to "process"`,
      )
    }
    if (target.includes(',')) {
      throw new FailedPreconditionError(
        `mount_path ${target} has a comma, with which ${facts.title} shows containers no directory; choose another`,
      )
    }
  }
}

/** How a container's shell is started: the image's, or one of this name in the control directory. */
export function startOf(shell: string | undefined): readonly string[] {
  return shell === undefined ? ['/bin/sh'] : [`/.pachyderm/${shell}`, 'sh']
}

/** Of the slot's own, at a place in the container. */
export function bind(source: string, target: string, isReadOnly: boolean): HostMount {
  return { Type: 'bind', Source: source, Target: target, ReadOnly: isReadOnly }
}

export interface HostMount {
  readonly Type: 'bind'
  readonly Source: string
  readonly Target: string
  readonly ReadOnly: boolean
}

/** Those that the engine cannot hold are left out; `limitNotices` says so. */
function limits({ transform, facts, processCountMax }: SettingsOptions): HostLimits {
  const { cpu = 0, memoryBytes = 0 } = transform.resources ?? {}
  const { limits: held } = facts
  const memory = Math.max(memoryBytes, memoryBytesMin)
  return {
    CpuShares: cpuShares,
    // The runner is one, too.
    ...(held.processes && { PidsLimit: processCountMax + 1 }),
    ...(memoryBytes > 0 && held.memory && { Memory: memory, MemorySwap: memory }),
    ...(cpu > 0 && held.cpu && { NanoCpus: Math.round(cpu * nanosPerCpu) }),
  }
}

interface HostLimits {
  readonly CpuShares: number
  readonly PidsLimit?: number
  readonly Memory?: number
  readonly MemorySwap?: number
  readonly NanoCpus?: number
}

/** What is asked for, and the engine's kernel cannot hold, in words for people. */
export function limitNotices({ resources }: Transform, facts: EngineFacts): readonly string[] {
  const { cpu = 0, memoryBytes = 0 } = resources ?? {}
  const missing = [
    ...(memoryBytes > 0 && !facts.limits.memory ? ['memory'] : []),
    ...(cpu > 0 && !facts.limits.cpu ? ['cpu'] : []),
  ]
  return missing.map(
    (name) =>
      `resource_spec.${name} is recorded, but ${facts.title} cannot limit it on this machine, whose control groups lack it`,
  )
}

function graphics({ resources }: Transform, facts: EngineFacts): HostGraphics {
  const { gpu = 0 } = resources ?? {}
  if (gpu === 0) return {}
  if (facts.isPodman && Number.parseInt(facts.version, 10) < podmanWithGpus) {
    throw new FailedPreconditionError(
      `resource_spec.gpu is ${gpu}, and ${facts.title} cannot give graphics processors to containers by its API: update it to ${podmanWithGpus}.0, use Docker with the NVIDIA container toolkit, or set resource_spec.gpu to 0`,
    )
  }
  return { DeviceRequests: [{ Driver: '', Count: gpu, Capabilities: [['gpu']] }] }
}

interface HostGraphics {
  readonly DeviceRequests?: [
    { readonly Driver: string; readonly Count: number; readonly Capabilities: string[][] },
  ]
}
