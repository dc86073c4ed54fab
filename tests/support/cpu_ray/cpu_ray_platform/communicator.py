from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator


class CrossHostCpuCommunicator(CpuCommunicator):
    def _all_group_ranks_share_shm_group_name(self) -> bool:
        # Shared memory does not reach another host.
        return False
