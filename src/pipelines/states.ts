/**
 * What a job may be, and what it may become:
 *
 * | from     | to                                  | when                                       |
 * |----------|-------------------------------------|--------------------------------------------|
 * | starting | running, failure, killed            | a runner takes it; it cannot start; stopped |
 * | running  | running, success, failure, killed   | resumed after a restart; it ended; stopped |
 * | success, failure, killed | nothing             | these are ends                             |
 */
export type JobState = 'starting' | 'running' | 'success' | 'failure' | 'killed'

export const nextJobStates: Readonly<Record<JobState, readonly JobState[]>> = {
  starting: ['running', 'failure', 'killed'],
  running: ['running', 'success', 'failure', 'killed'],
  success: [],
  failure: [],
  killed: [],
}

export function hasEnded(state: JobState): boolean {
  return nextJobStates[state].length === 0
}

/** The states of jobs that have not ended, as a list of SQL. */
export const unendedStates: string = `(${Object.keys(nextJobStates)
  .filter((state) => isJobState(state) && !hasEnded(state))
  .map((state) => `'${state}'`)
  .join(', ')})`

/**
 * `running`: new input commits start jobs. `paused`: a user stopped it; it keeps its backlog and
 * runs nothing. `failure`: it cannot run at all; `recent_error` says why.
 */
export type PipelineState = 'running' | 'paused' | 'failure'

export function isJobState(text: string): text is JobState {
  return Object.hasOwn(nextJobStates, text)
}

export function parseJobState(text: string): JobState {
  if (isJobState(text)) return text
  throw new Error(`invariant broken: unknown job state ${text}`)
}

const pipelineStates: readonly string[] = ['running', 'paused', 'failure'] satisfies PipelineState[]

export function isPipelineState(text: string): text is PipelineState {
  return pipelineStates.includes(text)
}

export function parsePipelineState(text: string): PipelineState {
  if (isPipelineState(text)) return text
  throw new Error(`invariant broken: unknown pipeline state ${text}`)
}
