-- What CURC's Alpine says to a job at its submission: the 21 rules of its page "error status codes" (August 2026), for GPU partitions.
-- They hold for jobs of a folder with the file `site-rules`: other tests share the lab. The sentences are in the page's style.

local GPU_QOS = { "gpu-normal", "gpu-long" }

-- GPU types of a partition with the most cores of a job for each. MiB for each core: what a GPU allows is not documented, so the
-- cores' share stands for it.
local PARTITIONS = {
  aa100 = { qos = { "gpu-normal", "gpu-long", "gpu-testing" }, mib_per_core = 3840,
            cores = { ["a100-40gb"] = 21, ["a100_80gb"] = 21, ["a100_3g.20gb"] = 10 } },
  ami100 = { qos = { "gpu-normal", "gpu-long", "gpu-testing" }, mib_per_core = 3840, cores = { mi100 = 21 } },
  al40 = { qos = GPU_QOS, mib_per_core = 3840, cores = { l40 = 21 } },
  ah200 = { qos = GPU_QOS, mib_per_core = 12288, cores = { h200 = 32, ["h200_3g.71gb"] = 16, ["h200_2g.35gb"] = 10 } },
  artxpro6000 = { qos = GPU_QOS, mib_per_core = 12288,
                  cores = { rtx_pro_6000 = 32, ["rtx_pro_6000_2g.48gb"] = 16, ["rtx_pro_6000_1g.24gb"] = 8 } },
  acpu = { qos = { "cpu-normal", "cpu-long" } },
}

-- Minutes of a QoS, and the most GPUs of each type in one job.
local QOS = {
  ["gpu-normal"] = { least = 0, most = 1440, gpus = { ["a100-40gb"] = 6, ["a100_80gb"] = 3, l40 = 3, mi100 = 5, h200 = 4,
    ["h200_3g.71gb"] = 4, ["h200_2g.35gb"] = 6, rtx_pro_6000 = 4, ["rtx_pro_6000_2g.48gb"] = 4, ["rtx_pro_6000_1g.24gb"] = 7 } },
  ["gpu-long"] = { least = 1440, most = 10080, gpus = { ["a100-40gb"] = 3, ["a100_80gb"] = 1, l40 = 3, mi100 = 3, h200 = 2,
    ["h200_3g.71gb"] = 2, ["h200_2g.35gb"] = 2, rtx_pro_6000 = 2, ["rtx_pro_6000_2g.48gb"] = 2, ["rtx_pro_6000_1g.24gb"] = 2 } },
  ["gpu-testing"] = { least = 0, most = 60, gpus = { ["a100_3g.20gb"] = 1, mi100 = 1 } },
  ["cpu-normal"] = { least = 0, most = 1440 },
  ["cpu-long"] = { least = 1440, most = 10080 },
}

-- Slurm's marks of what was not given; a limit in memory may be one per core.
local NOT_GIVEN_16, NOT_GIVEN_32, PER_CORE = 65534, 4294967294, 9223372036854775808

local function given(value)
  return value ~= nil and value ~= NOT_GIVEN_16 and value ~= NOT_GIVEN_32 and value < PER_CORE * 2 - 4096
end

local function split(text)
  local items = {}
  for item in text:gmatch("[^,]+") do items[#items + 1] = item end
  return items
end

local function contains(items, wanted)
  for _, item in ipairs(items) do if item == wanted then return true end end
  return false
end

local function names(map)
  local items = {}
  for name in pairs(map) do items[#items + 1] = name end
  table.sort(items)
  return table.concat(items, ", ")
end

-- GPUs of each node, from what --gres and --gpus-per-node leave (gres:gpu:a100-40gb:2): list of {name, type, count}.
local function read_gres(text)
  local found = {}
  for _, item in ipairs(split(text)) do
    local words = {}
    for word in item:gsub("^gres[:/]", ""):gmatch("[^:=]+") do words[#words + 1] = word end
    local last = tonumber(words[#words])
    if last then words[#words] = nil end
    found[#found + 1] = { name = words[1] or "", type = words[2], count = last or 1 }
  end
  return found
end

-- Rules 13, 14, 15, 16 and 1: the sentence, or nil.
local function check_queue(job)
  if not job.partition then return "No partition specified, please specify one with `--partition`." end
  local partitions, on_gpus, on_cpus = split(job.partition), false, false
  for _, name in ipairs(partitions) do
    local known = PARTITIONS[name]
    if known and known.cores then on_gpus = true elseif known then on_cpus = true end
  end
  if on_gpus and on_cpus then return "Jobs cannot be submitted to both GPU and CPU partitions." end
  if not job.qos then return "A Quality of Service (QoS) has not been provided. Please provide one with `--qos`." end
  if job.qos:find(",") then return "Submitting to a list of QoS is currently not supported. Please choose one." end
  for _, name in ipairs(partitions) do
    local known = PARTITIONS[name]
    if known and not contains(known.qos, job.qos) then
      return "The " .. name .. " partition accepts the following QoS values: " .. table.concat(known.qos, ", ") .. "."
    end
  end
end

-- Rules 17, 18 and 19.
local function check_time(job)
  local qos = QOS[job.qos]
  if not given(job.time_limit) then return "Please specify the runtime of your job with `--time`." end
  if not qos then return end
  if job.time_limit > qos.most then
    return "The requested runtime of the " .. job.qos .. " QoS cannot exceed " .. qos.most .. " minutes."
  end
  if qos.least > 0 and job.time_limit <= qos.least then
    return "The requested runtime of the " .. job.qos .. " QoS must be greater than " .. qos.least .. " minutes."
  end
end

-- Rules 20, 4, 5, 6, 7, 21 and 8; the GPUs as second value.
local function check_gres(job, partitions)
  local text = job.tres_per_node or job.gres or ""
  if text == "" then return "On GPU partitions, users must specify `--gres`, e.g. `--gres=gpu:1`." end
  local asked = read_gres(text)
  if #asked > 1 then return "Providing a list of `gres` options is not supported. Please give one." end
  local gpu = asked[1]
  if gpu.name:lower() ~= "gpu" and gpu.name:lower():find("gpu") then return "An invalid `--gres` input was given: " .. text .. "." end
  if gpu.name ~= "gpu" then return "On GPU partitions, users must use the `gres` name `gpu`." end
  if #partitions > 1 then
    if gpu.type then return "If a list of partitions is given then `GRES` must be set to `gpu:N`, without a type." end
    return nil, nil
  end
  local cores, caps = PARTITIONS[partitions[1]].cores, (QOS[job.qos] or {}).gpus or {}
  local valid = {}
  for name in pairs(cores) do if caps[name] then valid[name] = true end end
  if not gpu.type then return nil, nil end  -- Slurm gives it the type with the least memory
  if not valid[gpu.type] then
    return "An invalid `GRES` type was specified. Valid GRES types for this partition and QoS selection are: " .. names(valid) .. "."
  end
  if gpu.count > caps[gpu.type] then
    return "With the " .. job.qos .. " QoS, users can only request " .. caps[gpu.type] .. " " .. gpu.type .. " GPU(s) per job."
  end
  return nil, gpu
end

-- Rules 9, 10, 11 and 12.
local function check_share(job, partition, gpu)
  local known = PARTITIONS[partition]
  local tasks, memory = job.num_tasks, job.pn_min_memory
  if not given(tasks) and not given(memory) then return "GPU jobs must specify `--ntasks` or `--mem`." end
  local most = known.cores[gpu.type] * gpu.count
  tasks = given(tasks) and tasks or 1
  if tasks > most then
    return "You are requesting " .. tasks .. " tasks, which exceeds the maximum allowed of " .. most .. " for " .. gpu.count .. " GPU(s)."
  end
  local each = given(job.cpus_per_task) and job.cpus_per_task or 1
  if tasks * each > most then
    return "You are requesting " .. tasks * each .. " cores, which exceeds the maximum allowed of " .. most .. " for " .. gpu.count .. " GPU(s)."
  end
  if not given(memory) then return end
  local mib = memory >= PER_CORE and (memory - PER_CORE) * tasks * each or memory
  if mib > most * known.mib_per_core then
    return string.format("You are requesting %.0f MB of memory, which exceeds the maximum allowed of %.0f MB for %d GPU(s).",
      mib, most * known.mib_per_core, gpu.count)
  end
end

-- Rules 2 and 3, and those above in the page's order.
local function check_gpus(job, partitions)
  if not given(job.min_nodes) then return "Jobs on GPU partitions must specify `--nodes`." end
  if job.min_nodes > 1 then return "All GPU jobs are limited to 1 node. Please reschedule your job using `--nodes=1`." end
  local refused, gpu = check_gres(job, partitions)
  if refused or not gpu then return refused end
  return check_share(job, partitions[1], gpu)
end

local function refusal(job)
  local refused = check_queue(job)
  if refused then return refused end
  local partitions = split(job.partition)
  local known = PARTITIONS[partitions[1]]
  if known and known.cores then refused = check_gpus(job, partitions) end
  return refused or check_time(job)
end

function slurm_job_submit(job, partitions, uid)
  local marker = io.open((job.work_dir or "") .. "/site-rules")
  if marker == nil then return slurm.SUCCESS end
  marker:close()
  local said = refusal(job)
  if said == nil then return slurm.SUCCESS end
  slurm.log_user(said)
  return slurm.ERROR
end

function slurm_job_modify(job, record, partitions, uid) return slurm.SUCCESS end

return slurm.SUCCESS
