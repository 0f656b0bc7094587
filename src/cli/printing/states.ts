import { TrialState } from '../../gen/pachyderm_pb.ts'
import { DatumState, JobState, PipelineState } from '../../gen/pps_pb.ts'
import type { Output } from '../../base/output.ts'
import { coloured, type Colour } from './colours.ts'

type Shown = readonly [word: string, colour: Colour]

const jobStates: Readonly<Record<JobState, Shown>> = {
  [JobState.JOB_STARTING]: ['starting', 'yellow'],
  [JobState.JOB_RUNNING]: ['running', 'yellow'],
  [JobState.JOB_FAILURE]: ['failure', 'red'],
  [JobState.JOB_SUCCESS]: ['success', 'green'],
  [JobState.JOB_KILLED]: ['killed', 'yellow'],
}

const pipelineStates: Readonly<Record<PipelineState, Shown>> = {
  [PipelineState.PIPELINE_STARTING]: ['starting', 'yellow'],
  [PipelineState.PIPELINE_RUNNING]: ['running', 'green'],
  [PipelineState.PIPELINE_RESTARTING]: ['restarting', 'yellow'],
  [PipelineState.PIPELINE_FAILURE]: ['failure', 'red'],
  [PipelineState.PIPELINE_PAUSED]: ['paused', 'yellow'],
}

const datumStates: Readonly<Record<DatumState, Shown>> = {
  [DatumState.FAILED]: ['failed', 'red'],
  [DatumState.SUCCESS]: ['success', 'green'],
  [DatumState.SKIPPED]: ['skipped', 'yellow'],
  [DatumState.STARTING]: ['-', 'yellow'],
  [DatumState.RECOVERED]: ['recovered', 'yellow'],
  [DatumState.STOPPED]: ['stopped', 'yellow'],
}

export function jobStateText(state: JobState, out: Output): string {
  return shown(out, jobStates[state])
}

export function pipelineStateText(state: PipelineState, out: Output): string {
  return shown(out, pipelineStates[state])
}

export function datumStateText(state: DatumState, out: Output): string {
  return state === DatumState.STARTING ? '-' : shown(out, datumStates[state])
}

const trialStates: Readonly<Record<TrialState, Shown>> = {
  [TrialState.UNSPECIFIED]: ['-', 'yellow'],
  [TrialState.RUNNING]: ['running', 'yellow'],
  [TrialState.WAITING]: ['waiting', 'yellow'],
  [TrialState.FAILED]: ['failed', 'red'],
  [TrialState.READY]: ['ready', 'green'],
}

export function trialStateText(state: TrialState, out: Output): string {
  return shown(out, trialStates[state])
}

/** Newer servers may know states that this program does not. */
function shown(out: Output, state: Shown | undefined): string {
  return state === undefined ? '-' : coloured(out, state[1], state[0])
}
