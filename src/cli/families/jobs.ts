import type { CommandFamily } from '../command.ts'
import { rawFlag } from './common-flags.ts'

const jobs = async () => import('../commands/jobs.ts')
const datums = async () => import('../commands/datums.ts')

export const jobCommands: CommandFamily = {
  title: 'Jobs and datums',
  commands: [
    {
      name: 'inspect-job',
      arguments: 'JOB',
      about: 'show a job',
      flags: [{ name: 'block', short: 'b', about: 'wait until the job has ended' }, rawFlag],
      errorPrefix: 'error from InspectJob: ',
      load: async () => (await jobs()).inspectJob,
    },
    {
      name: 'list-job',
      arguments: '',
      about: 'list jobs, newest first',
      flags: [
        { name: 'pipeline', short: 'p', value: 'PIPELINE', about: 'only jobs of this pipeline' },
        rawFlag,
      ],
      load: async () => (await jobs()).listJob,
    },
    {
      name: 'delete-job',
      arguments: 'JOB',
      about: "delete a job's record; its output stays",
      flags: [],
      errorPrefix: 'error from DeleteJob: ',
      load: async () => (await jobs()).deleteJob,
    },
    {
      name: 'stop-job',
      arguments: 'JOB',
      about: 'end a job that goes on',
      flags: [],
      errorPrefix: 'error from StopJob: ',
      load: async () => (await jobs()).stopJob,
    },
    {
      name: 'list-datum',
      arguments: 'JOB',
      about: 'list the datums of a job',
      flags: [rawFlag],
      load: async () => (await datums()).listDatum,
    },
    {
      name: 'inspect-datum',
      arguments: 'JOB DATUM',
      about: 'show a datum',
      flags: [rawFlag],
      load: async () => (await datums()).inspectDatum,
    },
    {
      name: 'restart-datum',
      arguments: 'JOB PATH,PATH',
      about: 'try a running datum again; all paths or hashes must be of its files',
      flags: [],
      load: async () => (await datums()).restartDatum,
    },
    {
      name: 'explain',
      arguments: 'JOB|DATUM|FILE',
      about: 'say why a job, or a datum, or what wrote a file, ran or was skipped',
      details: `A datum runs when no result of an earlier job has its key: the pipeline, its salt, and name, path
and content of each input. What is told is the first of these that differs from the datum which
stood in its place in the nearest earlier job.`,
      examples: [
        'pachctl explain 2b6ff1a0-8f4e-4a61-9c9d-9b9a8f1f6d3a',
        'pachctl explain edges@master:/cat.png',
      ],
      flags: [
        {
          name: 'job',
          value: 'JOB',
          about: 'of a datum: in this job, instead of where it ran last',
        },
        rawFlag,
      ],
      load: async () => (await import('../commands/explain.ts')).explain,
    },
    {
      name: 'stats',
      arguments: '',
      about: 'show what the datums of a job, or the jobs of a pipeline, took',
      details: `Means, and how they are spread: 95% of the datums took at most what is below 95%. Datums that
were skipped count in the job that ran them.`,
      examples: ['pachctl stats --pipeline edges'],
      flags: [
        { name: 'job', value: 'JOB', about: 'of this job' },
        { name: 'pipeline', value: 'PIPELINE', about: 'of all jobs of this pipeline' },
        rawFlag,
      ],
      load: async () => (await import('../commands/stats.ts')).stats,
    },
    {
      name: 'get-logs',
      arguments: '',
      about: 'print what user code printed',
      details: `Job by job, and in each datum by datum as they ended; what still runs comes last. The logs of a
datum are kept as long as its job. All flags that are given must fit.`,
      examples: [
        'pachctl get-logs --pipeline edges --since 10m',
        'pachctl get-logs --job ID --inputs /cat.png',
        'pachctl get-logs --job ID --follow',
      ],
      flags: [
        { name: 'pipeline', value: 'PIPELINE', about: 'of this pipeline' },
        { name: 'job', value: 'JOB', about: 'of this job' },
        { name: 'datum', value: 'DATUM', about: 'of all runs of this datum, or that in --job' },
        {
          name: 'inputs',
          value: 'PATH',
          repeats: true,
          about: 'of datums with a file of this path or hash',
        },
        { name: 'version', value: 'N', isCount: true, about: 'of this version of the pipeline' },
        { name: 'worker', value: 'WORKER', about: 'of this worker; inspect-job names them' },
        { name: 'skipped', about: 'with --job: also of the datums that it skipped' },
        {
          name: 'follow',
          short: 'f',
          about: 'go on with lines as they come, until the job has ended',
        },
        { name: 'tail', value: 'N', isCount: true, about: 'only the last N lines' },
        {
          name: 'since',
          value: 'TIME',
          about: 'only lines of then or later: 10m, or 2018-01-31T12:00:00Z',
        },
        { name: 'search', value: 'TEXT', about: 'only lines with this text' },
        { name: 'master', about: 'what is said about the pipeline as a whole, instead' },
        { name: 'raw', about: 'print each line as JSON, with all that is known of it' },
      ],
      showsStatus: true,
      load: async () => (await import('../commands/get-logs.ts')).getLogs,
    },
  ],
}
