import { existsSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { release as kernelRelease } from 'node:os'

import { sizeText } from '../base/sizes.ts'
import type { EngineDiagnosis } from '../executors/choosing.ts'
import { fine, notice, problem, type Symptom } from '../base/symptoms.ts'

/** What a server knows by itself of where it runs. */
export interface DiagnosisFacts {
  readonly release: string
  /** The data directory. */
  readonly root: string
  /** How processes of user code are set apart: `root`, `user` or `none`. */
  readonly isolation: string
  /** What the process executor says for people. */
  readonly processNotices: readonly string[]
  /** What bounds it can hold: some of `cpu`, `memory`, `processes`, `disk`. */
  readonly bounds: ReadonlySet<string>
  readonly engine: EngineDiagnosis
  /** Addresses, or `off`. */
  readonly doors: Readonly<Record<'all' | 'http' | 's3', string>>
}

const freeBytesMin = 1024 ** 3
const freePartMin = 0.1
const freeInodesMin = 10_000
const openFilesMin = 4096

/** Looks at what a server needs of its machine. */
export async function diagnose(facts: DiagnosisFacts): Promise<readonly Symptom[]> {
  return [
    fine('server', `pachd ${facts.release}, Node ${process.version}, Linux ${kernelRelease()}`),
    ...isolationSymptoms(facts),
    boundsSymptom(facts.bounds),
    engineSymptom(facts.engine),
    ...(await diskSymptoms(facts.root)),
    openFilesSymptom(),
    ...doorSymptoms(facts.doors),
  ]
}

function isolationSymptoms({ isolation, processNotices }: DiagnosisFacts): readonly Symptom[] {
  if (isolation !== 'none') {
    const how = isolation === 'root' ? 'as root' : 'in user namespaces'
    return [fine('sandbox', `processes of user code run in namespaces of their own (${how})`)]
  }
  const advice = userNamespacesAdvice()
  return [
    problem(
      'sandbox',
      processNotices.join('; ') || 'processes of user code run without a sandbox',
      `${advice}; or run pipelines in containers (docs/container-executor.md)`,
    ),
  ]
}

function userNamespacesAdvice(): string {
  const settings: readonly (readonly [string, string, string])[] = [
    ['kernel/unprivileged_userns_clone', '0', 'sysctl -w kernel.unprivileged_userns_clone=1'],
    [
      'kernel/apparmor_restrict_unprivileged_userns',
      '1',
      'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
    ],
    ['user/max_user_namespaces', '0', 'sysctl -w user.max_user_namespaces=15000'],
  ]
  for (const [name, value, command] of settings) {
    if (readText(`/proc/sys/${name}`).trim() === value) return `allow user namespaces: ${command}`
  }
  return 'start pachd as root, or where namespaces are allowed: in Docker, with --privileged'
}

function boundsSymptom(bounds: ReadonlySet<string>): Symptom {
  const missing = ['memory', 'cpu', 'processes'].filter((bound) => !bounds.has(bound))
  if (missing.length === 0) return fine('limits', 'memory, processors and processes are bounded')
  const isUnified = existsSync('/sys/fs/cgroup/cgroup.controllers')
  const advice = isUnified
    ? 'start pachd by systemd with Delegate=yes, or as root'
    : 'start pachd as root, so that it may make control groups'
  return notice(
    'limits',
    `nothing bounds ${missing.join(', ')} of processes of user code: a datum may take all there is`,
    advice,
  )
}

function engineSymptom({ isOpen, isWanted, text, trial }: EngineDiagnosis): Symptom {
  if (trial?.kind === 'refused') {
    const advice = 'put that right; until then, jobs of pipelines that name an image fail'
    return problem('container engine', `${text}: ${trial.reason}`, advice)
  }
  if (trial?.kind === 'untried') {
    const tried = `${text}: no container was started, as ${trial.why}`
    return notice('container engine', tried, trial.advice)
  }
  if (isOpen) return fine('container engine', `${text} starts containers`)
  if (isWanted) return problem('container engine', text, 'pipelines wait until it answers')
  return notice(
    'container engine',
    text,
    'pipelines that name an image run as processes of the machine until there is one',
  )
}

async function diskSymptoms(root: string): Promise<readonly Symptom[]> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(root)
  const freeBytes = bavail * bsize
  const part = blocks === 0 ? 0 : bavail / blocks
  const text = `${sizeText(freeBytes)} of ${sizeText(blocks * bsize)} free at ${root}`
  const advice = 'free some space, let pachctl garbage-collect, or move the data to a larger disk'
  const symptoms: Symptom[] = []
  if (freeBytes < freeBytesMin) symptoms.push(problem('disk', text, advice))
  else if (part < freePartMin) symptoms.push(notice('disk', text, advice))
  else symptoms.push(fine('disk', text))
  // Some file systems have no table of files that could be full.
  if (files > 0 && ffree < freeInodesMin) {
    const inodes = `the file system can hold only ${ffree} more files`
    symptoms.push(problem('disk', inodes, 'remove files that nobody needs'))
  }
  return symptoms
}

function openFilesSymptom(): Symptom {
  const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readText('/proc/self/limits'))?.[1]
  const count = limit === undefined || limit === 'unlimited' ? Infinity : Number(limit)
  if (count >= openFilesMin) return fine('open files', `up to ${limit ?? 'as many as there are'}`)
  return notice(
    'open files',
    `this server may have ${count} files open, which many connections use up`,
    `raise it to ${openFilesMin} or more: ulimit -n, or LimitNOFILE of a systemd unit`,
  )
}

function doorSymptoms({ all, http, s3 }: DiagnosisFacts['doors']): readonly Symptom[] {
  const more = [
    ...(http === 'off' ? [] : [`files by HTTP at ${http}`]),
    ...(s3 === 'off' ? [] : [`S3 at ${s3}`]),
  ]
  const text = [`everything at ${all}`, ...more].join(', ')
  return [fine('ports', text)]
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
