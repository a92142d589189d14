// Sends one report and waits until it is counted up to the nation. Compiles with mcs and with .NET: mcs Send.cs
// GATEWAY_URL and GATEWAY_TOKEN are needed; UNIT, PERIOD, PERSONS and AFTER (the revision that was seen) may be given.
// Ends with 0 counted, 1 refused, 3 somebody else sent another revision, 4 no answer for a minute.
using System;
using System.IO;
using System.Linq;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;

static class Send
{
    // Worth a repeat with the same key; 409 only while the first request is being worked on. 0: no answer came.
    static readonly int[] Later = { 0, 409, 429, 502, 503, 504 };

    struct Answer
    {
        public int Status;
        public string Body;
        public int Wait;

        // The first member of that name, as text. A real program reads JSON with its library.
        public string Member(string name)
        {
            var found = Regex.Match(Body, "\"" + name + "\"\\s*:\\s*(?:\"([^\"]*)\"|([^,}\\s]+))");
            if (found.Groups[1].Success) return found.Groups[1].Value;
            return found.Groups[2].Value == "null" ? "" : found.Groups[2].Value;
        }
    }

    static int Main()
    {
        var persons = Given("PERSONS", "16");
        var report = "{\"form\": \"testing-daily\", \"unit\": \"" + Given("UNIT", "03390") + "\", \"period\": \""
            + Given("PERIOD", "2021-12-13") + "\", \"rows\": [{\"method\": \"antigen\", \"sample\": \"single\", \"persons\": "
            + persons + ", \"tubes\": " + persons + ", \"positive_tubes\": 0, \"positive_persons\": 0}]}";
        // One key for this report, however often the request is repeated: a repeat is then never a second report.
        var key = "\"" + Guid.NewGuid() + "\"";
        var deadline = DateTime.UtcNow.AddSeconds(60);
        while (true)
        {
            var answer = Ask("/v1/reports", report, key);
            if (answer.Status == 202)
            {
                var receipt = answer.Member("receipt");
                Console.WriteLine("acknowledged: revision " + answer.Member("revision") + ", " + receipt);
                return Counted(receipt, deadline.AddSeconds(60));
            }
            if (answer.Status == 412 || answer.Member("type").EndsWith(":revision-taken"))
            {
                Console.Error.WriteLine("another revision stands: " + answer.Member("highest_revision"));
                return 3;
            }
            if (!Later.Contains(answer.Status)) // 400, 401, 403, 413, 422: a repeat does not help
            {
                Console.Error.WriteLine(answer.Status + " " + answer.Member("detail"));
                return 1;
            }
            if (DateTime.UtcNow > deadline)
            {
                Console.Error.WriteLine("no answer for a minute (" + answer.Status + ")");
                return 4;
            }
            Console.Error.WriteLine(answer.Status + ", again in " + answer.Wait + " s");
            Thread.Sleep(answer.Wait * 1000);
        }
    }

    static int Counted(string receipt, DateTime deadline)
    {
        for (; DateTime.UtcNow < deadline; Thread.Sleep(1000))
        {
            var answer = Ask(receipt, null, null);
            var outcome = answer.Status == 200 ? answer.Member("outcome") : "pending";
            if (outcome == "accepted" && !answer.Body.Contains("\"counted\":false"))
            {
                Console.WriteLine("accepted, counted up to the nation");
                return 0;
            }
            if (outcome != "pending" && outcome != "accepted")
            {
                Console.WriteLine(outcome + ": " + answer.Member("said") + " " + answer.Member("detail"));
                return outcome == "duplicate" ? 0 : 1;
            }
        }
        Console.Error.WriteLine("not counted yet");
        return 4;
    }

    static Answer Ask(string path, string report, string key)
    {
        var request = (HttpWebRequest)WebRequest.Create(Environment.GetEnvironmentVariable("GATEWAY_URL") + path);
        request.Timeout = 30000;
        request.Headers["Authorization"] = "Bearer " + Environment.GetEnvironmentVariable("GATEWAY_TOKEN");
        request.Headers["Accept-Language"] = "en";
        try
        {
            if (report != null)
            {
                var content = Encoding.UTF8.GetBytes(report);
                request.Method = "POST";
                request.ContentType = "application/json";
                request.ContentLength = content.Length;
                request.Headers["Idempotency-Key"] = key;
                var after = Given("AFTER", "");
                if (after == "0") request.Headers["If-None-Match"] = "*";
                else if (after != "") request.Headers["If-Match"] = "\"" + after + "\"";
                using (var body = request.GetRequestStream()) body.Write(content, 0, content.Length);
            }
            using (var answer = (HttpWebResponse)request.GetResponse()) return Read(answer);
        }
        catch (WebException error)
        {
            // An answer of 400 and above is an exception here; without an answer it is not known whether it arrived.
            using (var answer = (HttpWebResponse)error.Response)
                return answer == null ? new Answer { Body = "", Wait = 2 } : Read(answer);
        }
        catch (IOException)
        {
            return new Answer { Body = "", Wait = 2 };
        }
    }

    static Answer Read(HttpWebResponse answer)
    {
        int wait;
        if (!int.TryParse(answer.Headers["Retry-After"], out wait)) wait = 2;
        using (var reader = new StreamReader(answer.GetResponseStream(), Encoding.UTF8))
            return new Answer { Status = (int)answer.StatusCode, Body = reader.ReadToEnd(), Wait = wait };
    }

    static string Given(string name, string otherwise)
    {
        return Environment.GetEnvironmentVariable(name) ?? otherwise;
    }
}
