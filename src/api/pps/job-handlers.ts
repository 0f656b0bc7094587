import type { Commit } from '../../gen/pfs_pb.ts'
import {
  type API,
  DatumInfosSchema,
  type GetLogsRequest,
  type Job,
  JobInfosSchema,
} from '../../gen/pps_pb.ts'
import type { LogFilter } from '../../pipelines/job-logs.ts'
import type { JobRecord } from '../../pipelines/job-records.ts'
import type { Processing } from '../../pipelines/processing.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { instantOf } from '../pfs/messages.ts'
import { onePages } from '../pfs/batched-list.ts'
import { requireText } from '../pfs/names.ts'
import { datumInfoMessage, jobInfoMessage, logMessage, type ToldJob } from './job-messages.ts'
import { streamedBy, wholeList } from '../pfs/single-message.ts'

export function jobHandlers({ jobs, logs, active }: Processing): ServiceHandlers<typeof API> {
  return {
    async inspectJob({ job: name, blockState }, { signal }) {
      const id = requireJob(name)
      const job = blockState ? await jobs.waitForEnd(id, signal) : await jobs.inspect(id)
      const workers = job.state === 'running' ? active.of(job.id) : []
      const spec = await jobs.specOf(job)
      const reason = (await jobs.reasonsOf([job]))(job)
      return jobInfoMessage({ job, spec, reason }, workers)
    },

    listJob: {
      encoded({ pipeline, inputCommit }) {
        const pages = jobs.pages(pipeline?.name, inputsOf(inputCommit))
        return wholeList(JobInfosSchema, toldJobs(jobs, pages), {
          encode: (job) => ({ jobInfo: [jobInfoMessage(job)] }),
          advice: `${streamedBy('list-job', 'Jobs/ListJobs')}; or list the jobs of one pipeline, or those that read a commit`,
        })
      },
    },

    async deleteJob({ job }) {
      await jobs.delete(requireJob(job))
      return {}
    },

    async stopJob({ job }) {
      await jobs.stop(requireJob(job))
      return {}
    },

    async restartDatum({ job, dataFilters }) {
      await jobs.restartDatum(requireJob(job), dataFilters)
      return {}
    },

    listDatum: {
      async encoded({ job: name }) {
        const job = await jobs.inspect(requireJob(name))
        return wholeList(DatumInfosSchema, onePages(jobs.datums(job.id)), {
          encode: (datum) => ({ datumInfo: [datumInfoMessage(datum, job)] }),
          advice: `job ${job.id} has ${job.counts.total} datums; ${streamedBy('list-datum', 'Jobs/ListDatums')}`,
        })
      },
    },

    async inspectDatum({ datum }) {
      const job = await jobs.inspect(requireJob(datum?.job, 'datum.job'))
      const id = requireText(datum?.id, 'datum.id', 'a datum id is needed')
      return datumInfoMessage(await jobs.inspectDatum(job.id, id), job)
    },

    async *getLogs(request, { signal }) {
      // Nothing runs as a master here: what 1.5 logged there is in the job itself.
      if (request.master) return
      const { follow: follows, tail } = request
      const options = { follows, signal, ...(tail !== 0 && { tail }) }
      for await (const line of logs.lines(logFilter(request), options)) yield logMessage(line)
    },
  }
}

/** The commits that jobs must have read, as `Jobs.pages` takes them. */
export function inputsOf(
  commits: readonly Commit[],
): readonly { readonly repo: string; readonly commit: string }[] {
  return commits.map(({ repo, id }) => ({ repo: repo?.name ?? '', commit: id }))
}

function logFilter(request: GetLogsRequest): LogFilter {
  const { job, pipeline, inputFileId, dataFilters, workerId, since, text, skipped } = request
  return {
    job: job?.id || undefined,
    pipeline: pipeline?.name || undefined,
    version: Number(request.pipelineVersion) || undefined,
    datum: inputFileId || undefined,
    data: dataFilters,
    worker: workerId || undefined,
    since: since && instantOf(since),
    text,
    withSkipped: skipped,
  }
}

/** @throws {InvalidArgumentError} when no job is named. */
export function requireJob(job: Job | undefined, what = 'job'): string {
  return requireText(job?.id, `${what}.id`, 'a job id is needed')
}

/** Each job with what it runs and why it stands as it does, which are looked up once a page. */
export async function* toldJobs(
  jobs: Processing['jobs'],
  pages: AsyncIterable<readonly JobRecord[]>,
): AsyncGenerator<readonly ToldJob[]> {
  for await (const page of pages) {
    const specOf = await jobs.specsOf(page)
    const reasonOf = await jobs.reasonsOf(page)
    yield page.map((job) => ({ job, spec: specOf(job), reason: reasonOf(job) }))
  }
}
