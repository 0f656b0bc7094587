import type { Clock } from '../../base/clock.ts'
import type { JobInfo, WorkerStatus } from '../../gen/pps_pb.ts'
import type { Output } from '../../base/output.ts'
import { sizeText } from '../../base/sizes.ts'
import { inputText, limitLines, parallelismText, resourceLines, transformText } from './specs.ts'
import { jobStateText } from './states.ts'
import { plainTable, tableText } from './table.ts'
import { ageText, betweenText, durationText } from './times.ts'
import { visible } from './visible.ts'

/** A job as inspect-job shows it, blanks at ends of lines included. */
export function jobText(
  info: JobInfo,
  { out, clock }: { readonly out: Output; readonly clock: Clock },
): string {
  const { parentJob, started, finished, stats, reason, dataFailed } = info
  const pipeline = `Pipeline: ${info.pipeline?.name ?? ''} `
  return [
    `ID: ${info.job?.id ?? ''} \n`,
    parentJob === undefined ? `${pipeline} \n` : `${pipeline}\nParent: ${parentJob.id} \n`,
    `Started: ${ageText(started, clock)}\n`,
    finished === undefined ? '' : `Duration: ${betweenText(started, finished)}\n`,
    `State: ${jobStateText(info.state, out)}\n`,
    reason === '' ? '' : `Reason: ${visible(reason)}\n`,
    `Processed: ${info.dataProcessed}\n`,
    dataFailed === 0n ? '' : `Failed: ${dataFailed}\n`,
    info.dataRecovered === 0n ? '' : `Recovered: ${info.dataRecovered}\n`,
    `Skipped: ${info.dataSkipped}\nTotal: ${info.dataTotal}\n`,
    `Data Downloaded: ${sizeText(stats?.downloadBytes ?? 0n)}\n`,
    `Data Uploaded: ${sizeText(stats?.uploadBytes ?? 0n)}\n`,
    `Download Time: ${durationText(stats?.downloadTime)}\n`,
    `Process Time: ${durationText(stats?.processTime)}\n`,
    `Upload Time: ${durationText(stats?.uploadTime)}\n`,
    `Worker Status:\n${workersText(info.workerStatus, clock)}`,
    `Restarts: ${info.restart}\n`,
    `ParallelismSpec: ${parallelismText(info.parallelismSpec)}\n`,
    limitLines(info),
    resourceLines(info.resourceSpec),
    `Input:\n${inputText(info.input)}\n\n`,
    `Transform:\n${transformText(info.transform)} \n`,
    info.outputCommit === undefined ? '' : `Output Commit: ${info.outputCommit.id} \n`,
    info.statsCommit === undefined ? '' : `Stats Commit: ${info.statsCommit.id} \n`,
    info.egress === undefined ? '' : `Egress: ${info.egress.URL} \n`,
  ].join('')
}

function startText(
  { started, queueSize, opening, openingSince }: WorkerStatus,
  clock: Clock,
): string {
  if (opening !== '') return `${visible(opening)} (began ${ageText(openingSince, clock)})`
  return queueSize === 0n ? ageText(started, clock) : 'waits for its turn'
}

function workersText(workers: readonly WorkerStatus[], clock: Clock): string {
  const rows = workers.map((worker) => [
    worker.workerId,
    worker.jobId,
    worker.data.map(({ path }) => path).join(', '),
    startText(worker, clock),
    String(worker.queueSize),
  ])
  const retries = workers
    .filter(({ lastReason }) => lastReason !== '')
    .map(
      ({ workerId, attempt, lastReason }) =>
        `${workerId} is at try ${attempt}; the one before failed: ${visible(lastReason)}\n`,
    )
  const table = tableText([['WORKER', 'JOB', 'DATUM', 'STARTED', 'QUEUE'], ...rows], plainTable)
  return `${table}${retries.join('')}`
}
