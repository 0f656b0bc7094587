import type { BranchName, PipelineName, RepoName } from '../../base/names.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import { branchesOf, mapAtoms, type AtomInput } from '../inputs.ts'
import type { PipelineSpec } from '../specs.ts'
import { nameInTrial, type TrialData, type TrialName } from './trial-records.ts'

/** The specs of the main line, by name, as they would be after the merge. */
export type SpecsByName = ReadonlyMap<PipelineName, PipelineSpec>

/**
 * What a change of pipelines or data reaches: the pipelines that are changed, those that read changed
 * data, and all that read what any of these writes; each behind those that it reads.
 */
export function reachedBy(
  specs: SpecsByName,
  changed: ReadonlySet<PipelineName>,
  data: readonly TrialData[],
): readonly PipelineName[] {
  const readers = readersByBranch(specs)
  const reached = new Set<PipelineName>()
  const waiting = [...changed]
  for (const { repo, branch } of data) waiting.push(...(readers.get(keyOf(repo, branch)) ?? []))
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const spec = specs.get(name)
    if (spec === undefined || reached.has(name)) continue
    reached.add(name)
    waiting.push(...(readers.get(keyOf(name, spec.outputBranch)) ?? []))
  }
  return inOrder(specs, reached)
}

function readersByBranch(specs: SpecsByName): ReadonlyMap<string, readonly PipelineName[]> {
  const readers = new Map<string, PipelineName[]>()
  for (const [name, { input, service }] of specs) {
    // It serves the main line, at its one port, and nothing reads it.
    if (service !== undefined) continue
    for (const { repo, branch } of branchesOf(input)) {
      const key = keyOf(repo, branch)
      readers.set(key, [...(readers.get(key) ?? []), name])
    }
  }
  return readers
}

function keyOf(repo: string, branch: string): string {
  return `${repo}@${branch}`
}

function inOrder(specs: SpecsByName, names: ReadonlySet<PipelineName>): readonly PipelineName[] {
  const done = new Set<PipelineName>()
  const open = new Set<PipelineName>()
  const visit = (name: PipelineName): void => {
    if (done.has(name)) return
    if (open.has(name)) {
      throw new FailedPreconditionError(`pipeline ${name} would read, near or far, what it writes`)
    }
    open.add(name)
    for (const { repo } of branchesOf(specs.get(name)?.input ?? noInput)) {
      // A pipeline is named like the repo that it writes.
      const upstream = repo as string as PipelineName
      if (names.has(upstream)) visit(upstream)
    }
    open.delete(name)
    done.add(name)
  }
  for (const name of [...names].toSorted()) visit(name)
  return [...done]
}

const noInput = { kind: 'union', members: [] } as const

/**
 * The spec with which a pipeline runs in a trial: it reads what the trial writes and the trial's
 * data, and nothing of what it does can be seen outside.
 */
export function specInTrial(
  spec: PipelineSpec,
  trial: TrialName,
  { members, data }: { readonly members: SpecsByName; readonly data: readonly TrialData[] },
): PipelineSpec {
  const placed = (atom: AtomInput): AtomInput => {
    // Clocks tick, and branches move, for the main line.
    const { cron: _, trigger: ___, ...rest } = atom
    const upstream = members.get(atom.repo as string as PipelineName)
    if (upstream?.outputBranch === atom.branch) {
      // What is written in the trial begins with the trial.
      const { fromCommit: __, ...whole } = rest
      return { ...whole, repo: repoInTrial(upstream.name, trial) }
    }
    const replaced = data.find(({ repo, branch }) => repo === atom.repo && branch === atom.branch)
    return replaced === undefined ? rest : { ...rest, branch: replaced.other }
  }
  const { egressUrl: _, egressSecret: __, ...inside } = spec
  return {
    ...inside,
    name: nameInTrial(spec.name, trial),
    tries: spec.name,
    input: mapAtoms(spec.input, placed),
  }
}

function repoInTrial(pipeline: PipelineName, trial: TrialName): RepoName {
  return nameInTrial(pipeline, trial) as string as RepoName
}

/** Whether two specs run the same code, so that the results of one are those of the other. */
export function runsSameCode(spec: PipelineSpec, other: PipelineSpec): boolean {
  return codeText(spec) === codeText(other)
}

function codeText({ transform, errorCommand, secrets, incremental }: PipelineSpec): string {
  const { environment, ...rest } = transform
  const variables = Object.entries(environment).toSorted(([left], [right]) =>
    left < right ? -1 : 1,
  )
  return JSON.stringify([rest, variables, errorCommand, secrets, incremental])
}

/** The branch of the main line, as it is named where people write it. */
export function branchText(repo: RepoName, branch: BranchName): string {
  return keyOf(repo, branch)
}
