import type { JobRecord } from '../../pipelines/job-records.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import { branchesOf } from '../../pipelines/inputs.ts'
import { hasEnded } from '../../pipelines/states.ts'
import { shownToService, type Files } from './expected-output.ts'
import type { Simulation } from './simulation.ts'
import { sameFiles } from './source-model.ts'

/** Reads a commit; undefined when it is gone. */
type Reading = (repo: string, commit: string) => Promise<Files | undefined>

/** Of each service that is to run exactly one runs, and sees what its newest job reads. */
export async function checkServices(simulation: Simulation, read: Reading): Promise<void> {
  const { jobs, pipelines } = simulation.server.processing
  const { services } = simulation
  const known = await pipelines.list()
  for (const name of services.names) {
    const pipeline = known.find((one) => String(one.name) === name)
    if (pipeline?.spec.service !== undefined && pipeline.state === 'running') continue
    simulation.break(`service ${name} runs, and is ${pipeline?.state ?? 'gone'}`)
  }
  for (const { name, spec, state } of known) {
    if (spec.service === undefined || state !== 'running') continue
    const open = (await jobs.list(name)).filter((job) => !hasEnded(job.state))
    const [newest] = open
    const run = services.of(name)
    if (open.length > 1) simulation.break(`service ${name} has ${open.length} jobs at once`)
    if (run?.job !== newest?.id) {
      simulation.break(`service ${name} runs for job ${run?.job}, and should for ${newest?.id}`)
    }
    if (newest === undefined || run === undefined) continue
    const expected = await expectedFiles(spec, newest, read)
    if (expected === undefined || sameFiles(run.files, expected)) continue
    simulation.break(
      `service ${name} sees ${JSON.stringify([...run.files])}, and should ${JSON.stringify([...expected])}`,
    )
  }
}

async function expectedFiles(
  spec: PipelineSpec,
  { inputs }: JobRecord,
  read: Reading,
): Promise<Files | undefined> {
  const files = new Map<string, Files>()
  for (const { repo, commit } of inputs) {
    const found = await read(repo, commit)
    if (found === undefined) return undefined
    files.set(repo, found)
  }
  return shownToService(spec.input, (repo) => files.get(repo) ?? new Map())
}

/** Whether the newest job of a service reads the heads of its input branches. */
export function servesHeads({ rows }: Simulation, spec: PipelineSpec, job: JobRecord): boolean {
  return branchesOf(spec.input).every(({ repo, branch }) => {
    const row = rows.get<{ readonly head: string }>(
      'SELECT head FROM branches WHERE repo = ? AND name = ?',
      [repo, branch],
    )
    return job.inputs.some(
      (input) => String(input.repo) === String(repo) && input.commit === row?.head,
    )
  })
}
