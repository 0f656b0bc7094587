import { existsSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { release as kernelRelease } from 'node:os'

import { sizeText } from '../base/sizes.ts'
import type { EngineDiagnosis } from '../executors/choosing.ts'
import { noexecMountOf } from '../executors/noexec.ts'
import { slotCountFor } from '../executors/process.ts'
import { openFilesLimit } from '../storage/open-files.ts'
import { fine, notice, problem, type Symptom } from '../base/symptoms.ts'

/** What a server knows by itself of where it runs. */
export interface DiagnosisFacts {
  readonly release: string
  /** The data directory. */
  readonly root: string
  /** How processes of user code are set apart; `unknown`: they wait for a sandbox that cannot be made. */
  readonly isolation: 'root' | 'user' | 'none' | 'unknown'
  /** What helps where there is no sandbox, if it is known. */
  readonly isolationAdvice?: string | undefined
  /** What the process executor says for people. */
  readonly processNotices: readonly string[]
  /** What of slots could not be removed. */
  readonly leftovers: readonly string[]
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
const containersAdvice = 'or run pipelines in containers (docs/container-executor.md)'
const isRoot = process.geteuid?.() === 0

/** Looks at what a server needs of its machine. */
export async function diagnose(facts: DiagnosisFacts): Promise<readonly Symptom[]> {
  return [
    fine('server', `pachd ${facts.release}, Node ${process.version}, Linux ${kernelRelease()}`),
    ...isolationSymptoms(facts),
    boundsSymptom(facts),
    engineSymptom(facts.engine),
    ...leftoverSymptoms(facts.leftovers),
    ...(await diskSymptoms(facts.root)),
    openFilesSymptom(),
    ...doorSymptoms(facts.doors),
  ]
}

function isolationSymptoms({
  isolation,
  isolationAdvice,
  processNotices,
}: DiagnosisFacts): readonly Symptom[] {
  if (isolation === 'unknown') {
    const text = processNotices.join('; ')
    if (isolationAdvice !== undefined) return [problem('sandbox', text, isolationAdvice)]
    const advice = 'put that right; pachd tries again by itself'
    return [problem('sandbox', text, `${advice}; ${containersAdvice}`)]
  }
  if (isolation !== 'none') {
    const how = isolation === 'root' ? 'as root' : 'in user namespaces'
    const text = `processes of user code run in namespaces of their own (${how})`
    if (processNotices.length === 0) return [fine('sandbox', text)]
    const advice = 'install perl or python3, and start pachd anew'
    return [problem('sandbox', `${text}, but ${processNotices.join('; ')}`, advice)]
  }
  const advice = isolationAdvice ?? namespacesAdvice()
  return [
    problem(
      'sandbox',
      processNotices.join('; ') || 'processes of user code run without a sandbox',
      `${advice}; ${containersAdvice}`,
    ),
  ]
}

/** What the machine's settings say that would help. `read` gives the text of a file. */
export function namespacesAdvice(read: (path: string) => string = readText): string {
  const settings: readonly (readonly [string, string, string])[] = [
    ['kernel/unprivileged_userns_clone', '0', 'sysctl -w kernel.unprivileged_userns_clone=1'],
    [
      'kernel/apparmor_restrict_unprivileged_userns',
      '1',
      'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
    ],
  ]
  for (const [name, value, command] of settings) {
    if (read(`/proc/sys/${name}`).trim() === value) return `allow user namespaces: ${command}`
  }
  for (const kind of ['user', 'mnt', 'pid', 'ipc']) {
    const name = `max_${kind}_namespaces`
    if (read(`/proc/sys/user/${name}`).trim() !== '0') continue
    return `allow namespaces of this kind: sysctl -w user.${name}=15000`
  }
  const where = 'where namespaces are allowed: in Docker, with --privileged'
  return isRoot ? `start pachd ${where}` : `start pachd as root, or ${where}`
}

function boundsSymptom({
  bounds,
  isolation,
}: Pick<DiagnosisFacts, 'bounds' | 'isolation'>): Symptom {
  const missing = ['memory', 'cpu', 'processes'].filter((bound) => !bounds.has(bound))
  if (missing.length === 0) return fine('limits', 'memory, processors and processes are bounded')
  // As the process executor then has it: RLIMIT_DATA and RLIMIT_NPROC.
  const less = [
    ...(missing.includes('memory')
      ? ['of memory, only what resource_spec says is, for each process on its own']
      : []),
    ...(missing.includes('processes') && isolation === 'user'
      ? ['of processes, only how many there are']
      : []),
  ]
  const text = `no control group bounds ${missing.join(', ')} of user code that runs as processes`
  const left =
    less.length === 0 ? 'a datum may take all there is' : `bounded are ${less.join('; ')}`
  return notice('limits', `${text}: ${left}`, controlGroupsAdvice())
}

function controlGroupsAdvice(): string {
  const isUnified = existsSync('/sys/fs/cgroup/cgroup.controllers')
  if (isRoot) {
    const where = 'where it may make control groups: in Docker, with --privileged'
    return isUnified
      ? `start pachd by systemd with Delegate=yes, or ${where}`
      : `start pachd ${where}`
  }
  return isUnified
    ? 'start pachd by systemd with Delegate=yes, or as root'
    : 'start pachd as root, so that it may make control groups'
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

function leftoverSymptoms(leftovers: readonly string[]): readonly Symptom[] {
  const advice =
    'see what keeps it (as root: lsattr, mount, lsof), and put that right: pachd tries again by itself, and does without until then'
  return leftovers.map((text) => notice('scratch space', text, advice))
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
  const noexec = noexecMountOf(root)
  if (noexec !== undefined) {
    const started = `the data directory's disk at ${noexec} is mounted "noexec": programs that user code puts into /tmp or /pfs/out do not start (exit code 126)`
    symptoms.push(notice('disk', started, `mount it without: mount -o remount,exec ${noexec}`))
  }
  // Some file systems have no table of files that could be full.
  if (files > 0 && ffree < freeInodesMin) {
    const inodes = `the file system can hold only ${ffree} more files`
    symptoms.push(problem('disk', inodes, 'remove files that nobody needs'))
  }
  return symptoms
}

function openFilesSymptom(): Symptom {
  const count = openFilesLimit()
  const text = Number.isFinite(count) ? String(count) : 'as many as there are'
  if (count >= openFilesMin) return fine('open files', `up to ${text}`)
  return notice(
    'open files',
    `this server may have ${count} files open, which many connections use up, or datums that run at once: each takes about 10, so there is room for some ${slotCountFor(count)}`,
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
