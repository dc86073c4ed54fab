"""The vLLM server of an allocation: started, watched, restarted, stopped."""
