"""What a lookup costs: each stage alone and all together, cold and warm, in process and by HTTP."""
