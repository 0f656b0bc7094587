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
      name: 'get-logs',
      arguments: '',
      about: 'print what user code printed',
      examples: [
        'pachctl get-logs --pipeline edges',
        'pachctl get-logs --job ID --inputs /cat.png',
      ],
      flags: [
        { name: 'pipeline', value: 'PIPELINE', about: 'of this pipeline' },
        { name: 'job', value: 'JOB', about: 'of this job' },
        {
          name: 'inputs',
          value: 'PATH',
          repeats: true,
          about: 'of datums with a file of this path or hash',
        },
        { name: 'master', about: 'what is said about the pipeline as a whole, instead' },
        { name: 'raw', about: 'print each line as JSON, with all that is known of it' },
      ],
      showsStatus: true,
      load: async () => (await import('../commands/get-logs.ts')).getLogs,
    },
  ],
}
